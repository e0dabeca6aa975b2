"""Every results table of a study once: its file, columns, units and meaning; writers validate and readers load through this.

`python -m headatlas.results > docs/results.md` writes the reference page. A table of another package is added with
`RESULTS.add("name", Table(...))`, in the module that registers the stage which writes it.
"""

from headatlas.results import methods as _methods  # registers its tables  # noqa: F401
from headatlas.results import towers as _towers  # noqa: F401
from headatlas.results.table import LIMITS, RESULTS, Column, Kind, Table, load, read_csv, validate
from headatlas.results.tables import FUNCTION, SCORER, VERDICTS, N

__all__ = [
    "FUNCTION",
    "LIMITS",
    "RESULTS",
    "SCORER",
    "VERDICTS",
    "Column",
    "Kind",
    "N",
    "Table",
    "load",
    "read_csv",
    "validate",
]
