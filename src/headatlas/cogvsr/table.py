"""Rows of questions as a table: in memory, mapped from a file, or read from Parquet a row group at a time.

Both kinds can select rows and give them in pieces, so that the memory needed does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import datasets
import numpy as np
import pyarrow as pa

from headatlas.cogvsr.parquet import open_parquet, reading


@runtime_checkable
class Table(Protocol):
    """What `CogVSR` needs of its rows."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[Any]:
        """The values of one column, in order of rows."""
        ...

    def select(self, rows: Sequence[int]) -> Table:
        """These rows, in the order given."""
        ...

    def pieces(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        """These columns of all rows, in order, at most `size` rows at a time."""
        ...


class ArrowTable:
    """A `datasets.Dataset` as `Table`: in memory, or mapped by `datasets` from its cache."""

    def __init__(self, data: datasets.Dataset):
        self._data = data

    @property
    def column_names(self) -> list[str]:  # noqa: D102 - as Table says
        return self._data.column_names

    def __len__(self) -> int:
        return len(self._data)

    def column(self, name: str) -> list[Any]:  # noqa: D102
        return list(self._data[name])

    def select(self, rows: Sequence[int]) -> ArrowTable:  # noqa: D102
        return ArrowTable(self._data.select(rows))

    def pieces(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:  # noqa: D102
        # As Arrow: `datasets` would decode the images itself, and a broken one could not be named.
        yield from self._data.select_columns(list(columns)).with_format("arrow").iter(batch_size=size)  # type: ignore[misc]


class ParquetTable:
    """Parquet files of one schema as `Table`. They stay open, so that a dataset saved in their place does not change this one."""

    def __init__(self, files: Sequence[Path]):
        self._files = _Files(files)
        self._rows = np.arange(self._files.starts[-1])

    @property
    def column_names(self) -> list[str]:  # noqa: D102 - as Table says
        return self._files.schema.names

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> list[Any]:  # noqa: D102
        return [value for piece in self.pieces([name], 1024) for value in piece.column(name).to_pylist()]

    def select(self, rows: Sequence[int]) -> ParquetTable:  # noqa: D102
        chosen = object.__new__(ParquetTable)
        chosen._files, chosen._rows = self._files, self._rows[np.asarray(rows, dtype=np.int64)]
        return chosen

    def pieces(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:  # noqa: D102
        starts = self._files.starts
        group = np.searchsorted(starts, self._rows, side="right") - 1
        runs = np.split(
            np.arange(len(self)), np.flatnonzero(np.diff(group)) + 1
        )  # rows of one group, one after another
        for run in runs if len(self) else ():
            number = int(group[run[0]])
            read = self._files.group(number, tuple(columns))  # not kept: other readers want other columns
            for first in range(0, len(run), size):
                yield read.take(self._rows[run[first : first + size]] - starts[number])

    @property
    def leaves(self) -> list[str]:
        """The names of what is stored by itself, such as `images.list.element.path`; `pieces` takes them as columns."""
        return self._files.leaves


class _Files:
    """Open Parquet files with their row groups numbered through; the last group read stays in memory."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = list(paths)
        self._open = [open_parquet(path) for path in self._paths]
        self._where = [
            (file, i, path)
            for file, path in zip(self._open, self._paths, strict=True)
            for i in range(file.metadata.num_row_groups)
        ]
        sizes = [file.metadata.row_group(i).num_rows for file, i, _ in self._where]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.schema: pa.Schema = self._open[0].schema_arrow
        self.leaves = [str(leaf.path) for leaf in self._open[0].schema]
        self._kept: tuple[tuple[int, tuple[str, ...]], pa.Table] | None = None
        self._lock = Lock()

    def group(self, number: int, columns: tuple[str, ...]) -> pa.Table:
        with self._lock:
            if self._kept is None or self._kept[0] != (number, columns):
                self._kept = None  # freed before the next is read, so that only one is in memory
                file, i, path = self._where[number]
                with reading(str(path)):
                    read = file.read_row_group(i, columns=list(columns), use_threads=False)
                self._kept = (number, columns), read
            return self._kept[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return _Files, (self._paths,)
