"""Reading other people's datasets into CogVSR: what every importer in `sources/` shares, and `import_dataset`.

Knows files, pictures, splits and records; a format's own quirks stand in its importer. `draft.py` is what an importer makes,
`origin.py` where it reads, `pictures.py` how images come, `deal.py` who is chosen and which split it goes to.
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
