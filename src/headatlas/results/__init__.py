"""The results tables, each declared once with its columns, units and meaning; writers and readers check against them.

`python -m headatlas.results > docs/results.md` writes the reference page. A table of another package is added with
`RESULTS.add("name", Table(...))`, in the module that registers the stage which writes it.
"""

from headatlas.results.columns import FUNCTION, SCORER, VERDICTS, N
from headatlas.results.table import LIMITS, RESULTS, Column, Kind, Table, load, read_csv, validate

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
