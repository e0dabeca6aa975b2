"""Import other people's datasets as CogVSR with `import_dataset`.

`origin.py` opens what the user named, an importer in `sets/` turns its records into drafts (`draft.py`), `fetch.py` gets their
images, and `deal.py` chooses questions and assigns them to splits.
"""

from headatlas.importing.draft import Draft, LeftOut, Picture
from headatlas.importing.origin import Origin, open_origin
from headatlas.importing.registry import IMPORTERS, Importer, importer
from headatlas.importing.run import Report, import_dataset

__all__ = [
    "IMPORTERS",
    "Draft",
    "Importer",
    "LeftOut",
    "Origin",
    "Picture",
    "Report",
    "import_dataset",
    "importer",
    "open_origin",
]
