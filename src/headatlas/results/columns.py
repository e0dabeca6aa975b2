"""Columns that many results tables have, and `add`, which declares a table."""

from __future__ import annotations

from headatlas.results.table import RESULTS, Column, Kind, Table

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable here")
"""The verdicts of `claims.json`."""

SCORER = Column("scorer", "text", "name of the scorer")
FUNCTION = Column("function", "text", "cognitive function")
N = Column("n", "count", "steps", "steps")


def interval(kind: Kind, unit: str = "", prefix: str = "", gaps: bool = True) -> tuple[Column, Column]:
    """The two columns of a 95 % interval."""
    return (
        Column(f"{prefix}low", kind, "lower bound of the 95 % interval", unit, gaps),
        Column(f"{prefix}high", kind, "upper bound of the 95 % interval", unit, gaps),
    )


def add(name: str, meaning: str, *columns: Column, key: str = "") -> Table:
    """Declare a table; `key` names the columns that identify a row, separated by spaces."""
    return RESULTS.add(name, Table(meaning, columns, tuple(key.split())))
