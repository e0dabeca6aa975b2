"""`Table` and `Column`: the declaration of a results table, by which tables are checked, written and read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry, near

Kind = Literal["text", "flag", "count", "number", "share", "change", "p"]
"""What a column holds: `text`; `flag` (True or False); `count` (a whole number >= 0); `number` (any finite number);
`share` (0..1); `change` (a difference of shares, -1..1); `p` (a probability, 0..1)."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "count": (0, np.inf),
    "number": (-np.inf, np.inf),
    "share": (0, 1),
    "change": (-1, 1),
    "p": (0, 1),
}
_SLACK = 1e-9  # sums of shares may leave their range by rounding


@dataclass(frozen=True)
class Column:
    """A column of a results table.

    Attributes:
        name: as in the file's header.
        kind: the kind of its values, see `Kind`.
        meaning: the meaning of a value, in a few words.
        unit: of a number, such as "heads" or "nats"; shares, changes and probabilities need none.
        gaps: whether a cell may be empty (no such number, or nothing to test).
        values: the only texts allowed; empty for any text.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    gaps: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Table:
    """A results table: one sentence on what it holds, and its columns in order.

    `key` names the columns that identify a row: two rows with the same key are an error.
    """

    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Table: {self.meaning} Columns: {', '.join(self.names)}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def texts(self) -> frozenset[str]:
        """The names of the columns that hold text."""
        return frozenset(column.name for column in self.columns if column.kind == "text")

    def empty(self) -> pd.DataFrame:
        """The table without rows, its columns typed."""
        return pd.DataFrame({c.name: pd.Series(dtype=_dtype(c)) for c in self.columns})

    def check(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """A copy of `table` with the columns in order and typed; `name` is what messages call it.

        A frame without columns and rows is the empty table.

        Raises:
            HeadAtlasError: an unknown or missing column, a cell of the wrong kind or out of range, or a repeated key.
        """
        if not len(table) and not len(table.columns):
            return self.empty()
        for column in table.columns:
            if column not in self.names:
                raise HeadAtlasError(
                    f"table {name!r} must have the columns {', '.join(self.names)}; got the unknown column {column!r}"
                    f"{near(str(column), self.names)}"
                )
        missing = [column for column in self.names if column not in table]
        if missing:
            raise HeadAtlasError(
                f"table {name!r} must have the columns {', '.join(self.names)}; {', '.join(missing)} is missing"
            )
        table = table.reset_index(drop=True)
        typed = pd.DataFrame({c.name: _typed(name, c, table[c.name]) for c in self.columns})
        repeated = typed.duplicated(list(self.key)) if self.key else None
        if repeated is not None and repeated.any():
            first = typed.loc[repeated, list(self.key)].iloc[0].to_dict()
            raise HeadAtlasError(
                f"table {name!r} must have one row for each {', '.join(self.key)}; got two for {first}"
            )
        return typed


RESULTS: Registry[Table] = Registry(
    "results table", ("headatlas.results.tables", "headatlas.results.methods", "headatlas.results.towers")
)
"""The tables in `RUN/results/`, by name; the file is `<name>.csv`."""


def validate(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A copy of `table`, checked and typed as the results table `name`; raises `HeadAtlasError` as `Table.check`."""
    return RESULTS[name].check(name, table)


def load(folder: str | Path, name: str) -> pd.DataFrame:
    """The results table `name` from `<folder>/<name>.csv`, typed; the empty table where the file is missing or empty.

    Raises:
        HeadAtlasError: no such results table, or a file that is not a CSV table of its kind.
    """
    return read_csv(Path(folder) / f"{name}.csv", RESULTS[name])


def read_csv(file: Path, described: Table) -> pd.DataFrame:
    """A table from a CSV file, typed as `described`; empty where the file is missing or empty."""
    if not file.is_file():
        return described.empty()
    try:
        # All cells as text first: pandas would read the selector called "null" as a missing value.
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        return described.empty()
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise HeadAtlasError(f"{file} must be a CSV table ({error}); run the stage that writes it again") from error
    return described.check(file.name, table)


def _dtype(column: Column) -> str:
    return {"text": "object", "flag": "bool", "count": "float64" if column.gaps else "int64"}.get(
        column.kind, "float64"
    )


def _typed(table: str, column: Column, values: pd.Series) -> pd.Series:
    """The values of one column, checked and converted to its dtype."""
    cells = values.astype(object)
    if column.kind == "text":
        return _text(table, column, cells)
    if column.kind == "flag":
        words = {"True": True, "False": False}
        flags = [words.get(str(cell)) for cell in cells]
        _refuse(table, column, cells, [flag is None for flag in flags])
        return pd.Series(flags, index=cells.index, dtype=bool)
    blank = np.array([_is_blank(cell) for cell in cells], dtype=bool)
    numbers = pd.to_numeric(cells.where(~blank, np.nan), errors="coerce").astype("float64")
    low, high = LIMITS[column.kind]
    wrong = ~blank & ~np.isfinite(numbers.to_numpy())
    wrong |= ((numbers < low - _SLACK) | (numbers > high + _SLACK)).to_numpy()
    if column.kind == "count":
        wrong |= ~blank & (numbers != numbers.round()).to_numpy()
    if not column.gaps:
        wrong |= blank
    _refuse(table, column, cells, wrong)
    return numbers.astype(_dtype(column))


def _text(table: str, column: Column, cells: pd.Series) -> pd.Series:
    texts = ["" if _is_blank(cell) else cell for cell in cells]
    _refuse(table, column, cells, [not isinstance(text, str) for text in texts])
    if not column.gaps:
        _refuse(table, column, cells, [text == "" for text in texts])
    if column.values:
        _refuse(table, column, cells, [text not in ("", *column.values) for text in texts])
    return pd.Series(texts, index=cells.index, dtype=object)


def _is_blank(cell: Any) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _refuse(table: str, column: Column, cells: pd.Series, wrong: Sequence[bool] | np.ndarray) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise HeadAtlasError(
            f"column {column.name!r} of table {table!r} must be {_expected(column)}, got {cells.iloc[rows[0]]!r} in row {rows[0]}"
        )


def _expected(column: Column) -> str:
    if column.values:
        words = f"one of {', '.join(column.values)}"
    else:
        words = {
            "text": "text", "flag": "True or False", "count": "a whole number >= 0", "number": "a finite number",
            "share": "in 0..1", "change": "in -1..1", "p": "in 0..1",
        }[column.kind]  # fmt: skip
    return f"{words} or empty" if column.gaps else words
