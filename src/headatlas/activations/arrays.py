"""The zarr group `z.zarr` of a capture: one float32 array `[N, L, H, D]` for each token selection.

Rows that were never written, and rows of a chunk whose file is missing, read as NaN.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from zarr import storage

from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.storage import DamagedError, replacing

NAME = "z.zarr"


def has_arrays(folder: Folder) -> bool:
    """Whether there is a group in a folder."""
    return folder.has(f"{NAME}/zarr.json")


def open_arrays(
    folder: Folder, shape: Sequence[int], names: Sequence[str], mode: str = "r", rows: int | None = None
) -> dict[str, Any]:
    """The arrays of a group by name, to read (`r`) or also to write (`r+`); `rows` of a chunk, by default `chunk_rows`.

    Raises:
        DamagedError: an array is missing, or its metadata are not those that `create_arrays` wrote.
    """
    # Not left to zarr, whose errors stand in reference cycles with the frames of all callers and what these hold.
    if not has_arrays(folder):
        raise DamagedError(f"{NAME} in {str(folder)!r} cannot be opened: it has no zarr.json")
    try:
        group = zarr.open_group(_store(folder, mode == "r"), mode=mode)  # type: ignore[arg-type]
        arrays: dict[str, Any] = {name: group[name] for name in names}
    except Exception as error:  # zarr raises errors of every kind for a damaged zarr.json
        raise DamagedError(
            f"{NAME} in {str(folder)!r} cannot be opened ({type(error).__name__}): it was damaged since it was written"
        ) from error
    chunks = (rows or chunk_rows(shape), *shape[1:])
    for name, array in arrays.items():
        there = (getattr(array, "shape", None), getattr(array, "chunks", None), str(getattr(array, "dtype", None)))
        plain = not getattr(array, "compressors", ()) and not getattr(array, "filters", ())
        if there != (tuple(shape), chunks, "float32") or not plain or not np.isnan(array.fill_value):
            raise DamagedError(
                f"{NAME}/{name} in {str(folder)!r} must be float32 of shape {tuple(shape)} in chunks of {chunks}, got "
                f"{there}: its zarr.json was changed since it was written"
            )
    return arrays


def create_arrays(folder: Folder, shape: Sequence[int], names: Sequence[str]) -> None:
    """Make a group of arrays of NaN, in place of an earlier one; on a disk in one step.

    Raises:
        HeadAtlasError: it cannot be written.
    """
    if folder.local is not None:
        with replacing(folder.local / NAME, "the activations") as new:
            _create(os.fspath(new), shape, names)
        return
    try:
        folder.remove_folder(NAME)
        _create(_store(folder), shape, names)
    except OSError as error:
        raise HeadAtlasError(f"cannot write {NAME} to {str(folder)!r}: {error}") from error


def remove_folders(folder: Folder, names: Sequence[str]) -> None:
    """Remove folders, links to nothing and devices that are in the place of a chunk's file, where nothing could be written."""
    if folder.local is None:
        return
    for name in names:
        for path in (folder.local / NAME / name).glob("c/*/*/*/*"):
            if not path.is_file():
                folder.remove_folder(str(path.relative_to(folder.local)))


def chunk_rows(shape: Sequence[int]) -> int:
    """Rows of a chunk: about 8 MB, at least one."""
    return max(1, min(int(shape[0]), (8 << 20) // (4 * int(np.prod(shape[1:])))))


def _create(store: Any, shape: Sequence[int], names: Sequence[str]) -> None:
    layout = {"shape": tuple(shape), "chunks": (chunk_rows(shape), *shape[1:]), "dtype": "float32"}
    group = zarr.open_group(store, mode="w", zarr_format=3)
    for name in names:
        group.create_array(name, compressors=None, filters=None, fill_value=float("nan"), **layout)


class _LocalStore(storage.LocalStore):
    """A folder of regular files: a link to a device, a pipe or a folder counts as missing, and is not read."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        path = self.root / key
        return await super().get(key, prototype, byte_range) if path.is_file() else None


def _store(folder: Folder, read_only: bool = False) -> Any:
    """What zarr opens: a store on this machine, or one over fsspec."""
    if folder.local is not None:
        return _LocalStore(folder.local / NAME, read_only=read_only)
    address = f"{folder.where.rstrip('/')}/{NAME}"
    # `local://` is a disk accessed through fsspec, which makes folders only when asked to.
    options = {"auto_mkdir": True} if folder.where.startswith("local://") else {}
    return storage.FsspecStore.from_url(address, storage_options=options)
