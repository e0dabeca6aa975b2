"""`Activations`: the mean z of every step, and the answers that the same pass read, on disk.

A folder holds `z.zarr` (see `arrays.py`), `parts/` (the answers of each finished unit of questions, written after the unit's z)
and, when all units are done, `steps.parquet`. The Parquet files hold the settings of the capture, a digest of each unit's z and a
digest of their own content, so that damage is noticed when they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float32

from headatlas.activations.arrays import has_arrays, open_arrays
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder, read_frame
from headatlas.storage import DamagedError

Rows = np.ndarray | Sequence[int] | slice | None


@runtime_checkable
class ActivationsLike(Protocol):
    """The interface of `Activations` that scorers, means and directions use; other classes may provide it."""

    @property
    def steps(self) -> pd.DataFrame:
        """The answers table, one row per step, in the order of z's first axis."""
        ...

    @property
    def tokens(self) -> Any:
        """Names of the token selections that were captured."""
        ...

    def z(self, tokens: str, rows: Any = None) -> Any:
        """Mean z over the selected tokens, float32 [N, L, H, D], of all rows or of the rows given."""
        ...


class Activations:
    """Mean z of N steps, L layers x H heads x D dimensions, for each token selection. Made by `capture` or
    `Activations.open`."""

    def __init__(self, path: str | Path, steps: pd.DataFrame, info: dict[str, Any]) -> None:
        self.path = path
        """Where it is: a path, or an address such as `s3://bucket/run`."""
        self.steps = steps
        """The answers table: one row per step, in the order of the z rows."""
        self.info: dict[str, Any] = info["settings"]
        """The settings it was captured with: model, fingerprints, tokens, shape, versions."""
        self._starts = np.array([*info["starts"], self.shape[0]])  # first row of each unit, and the end
        self._digests: dict[str, list[str]] = info["digests"]  # of each unit's z, by token selection
        self._checked: set[tuple[str, int]] = set()
        self._arrays = open_arrays(Folder.of(path), self.shape, self.tokens)

    @classmethod
    def open(cls, path: str | Path) -> Activations:
        """Open a finished capture: a folder's path, or an address that fsspec knows.

        Raises:
            HeadAtlasError: there is none at `path`, or it is not finished.
            DamagedError: its files were damaged since they were written.
        """
        folder = Folder.of(path)
        try:
            steps, info = read_frame(folder, "steps.parquet")
        except FileNotFoundError:
            if has_arrays(folder):
                raise HeadAtlasError(
                    f"the capture in {str(folder)!r} is not finished: run the same capture again to continue it"
                ) from None
            raise HeadAtlasError(
                f"no capture in {str(folder)!r}: it must be a folder written by headatlas capture"
            ) from None
        return cls(folder.local or folder.where, steps, info)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The token selections that were captured, the first being the main one."""
        return tuple(map(str, self.info["tokens"]))

    @property
    def tower(self) -> str:
        """The tower whose z it is: `L` (language model), `V`, `X` or `C`."""
        return str(self.info.get("tower", "L"))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N steps, L layers, H heads, D dimensions of a head)."""
        n, layers, heads, dim = self.info["shape"]
        return n, layers, heads, dim

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n, layers, heads, dim = self.shape
        size = f"{n} steps x {layers} layers x {heads} heads x {dim}"
        return f"Activations({str(self.path)!r}, {size}, tokens {self.tokens})"

    def z(self, tokens: str | None = None, rows: Rows = None) -> Float32[np.ndarray, "N L H D"]:
        """Mean z over the selected tokens of each step.

        Args:
            tokens: a selection that was captured; by default the first.
            rows: steps by position (integers), by a boolean mask over all steps, or a slice; by default all. A unit of
                questions is read in full when a row of it is asked for the first time, later only the rows asked for.

        Raises:
            HeadAtlasError: the selection was not captured, a row is out of range, or the mask has another length.
            DamagedError: z is not what was captured.
        """
        name = tokens or self.tokens[0]
        if name not in self.tokens:
            raise HeadAtlasError(f"tokens must be one of {', '.join(self.tokens)}, which were captured; got {name!r}")
        index = self._index(rows)
        out = np.empty((len(index), *self.shape[1:]), np.float32)
        units = np.searchsorted(self._starts, index, "right") - 1
        for unit in np.unique(units).tolist():
            here = units == unit
            first, end = self._starts[unit], self._starts[unit + 1]
            try:
                if (name, unit) in self._checked:
                    found = self._arrays[name].oindex[index[here]]
                    if np.isnan(found).any():  # a chunk that was removed in the meantime
                        raise self._damaged(name, unit)
                    out[here] = found
                    continue
                values = self._arrays[name][first:end]
            except DamagedError:
                raise
            except Exception as error:  # zarr raises errors of every kind for a file that was cut off
                raise self._damaged(name, unit) from error
            if z_digest(values) != self._digests[name][unit]:
                raise self._damaged(name, unit)
            self._checked.add((name, unit))
            out[here] = values[index[here] - first]
        return out

    def _index(self, rows: Rows) -> np.ndarray:
        if rows is None or isinstance(rows, slice):
            return np.arange(len(self))[rows if rows is not None else slice(None)]
        index = np.asarray(rows)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise HeadAtlasError(f"a mask must have one value for each of {len(self)} steps, got {index.shape}")
            return np.flatnonzero(index)
        index = index.astype(np.int64)
        if len(index) and not -len(self) <= index.min() <= index.max() < len(self):
            raise HeadAtlasError(f"rows must be in 0..{len(self) - 1}, got {index.min()}..{index.max()}")
        return np.where(index < 0, index + len(self), index)

    def _damaged(self, name: str, unit: int) -> DamagedError:
        first, last = self._starts[unit], self._starts[unit + 1] - 1
        return DamagedError(
            f"z of steps {first} to {last} at tokens {name!r} in {str(self.path)!r} is not what was captured: a file in z.zarr "
            "was removed or changed; run the same capture again to compute it anew"
        )


def z_digest(values: Float32[np.ndarray, "n L H D"]) -> str:
    """Hex SHA-256 digest of z."""
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()
