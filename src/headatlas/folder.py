"""Folders on a disk or on object storage, and tables with checksums in them.

`Folder` reads and writes single files under a path or an fsspec address (`s3://bucket/run`, `gs://...`, `memory://...`).
`write_frame` and `read_frame` store tables with a digest, so that any later change is noticed.
"""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headatlas.errors import HeadAtlasError
from headatlas.storage import SEAL, DamagedError, is_sealed, lock_folder, read_regular, remove_tree, seal, write_whole

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Folder:
    """A folder; it need not exist yet. `where` is a path, or an address `protocol://...` that fsspec knows."""

    where: str

    @classmethod
    def of(cls, where: str | Path | Folder) -> Folder:
        """From a path or an address; `file://` addresses are paths.

        Raises:
            HeadAtlasError: an unknown protocol, or one whose package is not installed.
        """
        if isinstance(where, Folder):
            return where
        text = str(where)
        folder = cls(text.removeprefix("file://") if text.startswith("file://") else text)
        if folder.local is None:
            folder._fs()
        return folder

    @property
    def local(self) -> Path | None:
        """Its path, None on object storage."""
        return None if "://" in self.where else Path(self.where)

    def __str__(self) -> str:
        return self.where

    @property
    def full(self) -> str:
        """Its path or address as any process of this machine understands it."""
        return self.where if self.local is None else str(self.local.resolve())

    def at(self, name: str) -> Folder:
        """The folder `name` below this one."""
        return Folder(f"{self.where.rstrip('/')}/{name}")

    def has(self, name: str) -> bool:
        """Whether there is a file `name`, such as `parts/000001.parquet`."""
        if self.local is not None:
            return (self.local / name).is_file()
        fs, root = self._fs()
        fs.invalidate_cache()
        return bool(fs.isfile(f"{root}/{name}"))

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: it is not there, or a folder, a device or a link to itself is in its place.
        """
        try:
            if self.local is not None:
                return read_regular(self.local / name)
            fs, root = self._fs()
            return bytes(fs.cat_file(f"{root}/{name}"))
        except OSError as error:
            if error.errno not in (None, errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
                raise
            raise FileNotFoundError(errno.ENOENT, "not a file", f"{self.where}/{name}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole, in place of an earlier one.

        Raises:
            HeadAtlasError: it cannot be written.
        """
        if self.local is not None:
            write_whole(self.local / name, data)
            return
        fs, root = self._fs()
        try:
            fs.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            fs.pipe_file(f"{root}/{name}", data)
        except OSError as error:
            raise HeadAtlasError(f"cannot write {name} to {self.where!r}: {error}") from error

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        elif self.has(name):
            fs, root = self._fs()
            fs.rm_file(f"{root}/{name}")

    def remove_folder(self, name: str) -> None:
        """Remove the folder `name` and all that is in it, or a file of that name."""
        if self.local is not None:
            remove_tree(self.local / name)
            return
        fs, root = self._fs()
        fs.invalidate_cache()
        if fs.exists(f"{root}/{name}"):
            fs.rm(f"{root}/{name}", recursive=True)

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """As `lock_folder`; on object storage, which has no locks, it does nothing."""
        if self.local is None:
            yield
            return
        with lock_folder(self.local, what):
            yield

    def _fs(self) -> tuple[Any, str]:
        """The file system and the folder's path on it."""
        from fsspec.core import url_to_fs

        try:
            fs, path = url_to_fs(self.where)
        except (ImportError, ValueError) as error:
            raise HeadAtlasError(
                f"cannot open {self.where!r}: {error}; s3:// and gs:// need `pip install 'headatlas[store]'`"
            ) from error
        return fs, path.rstrip("/")


def write_frame(folder: Folder, name: str, frame: pd.DataFrame, info: dict[str, Any] | None = None) -> None:
    """Write a table as a sealed Parquet file, with `info` (plain values) in its metadata.

    Raises:
        HeadAtlasError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    own = {b"headatlas": json.dumps(info or {}).encode(), b"seal": SEAL}
    data = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), **own}),
        data,
        compression="zstd",
        store_schema=True,
    )
    folder.write(name, seal(data.getvalue()))


def read_frame(folder: Folder, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table that `write_frame` wrote, and its `info`.

    Raises:
        FileNotFoundError: it is not there.
        DamagedError: it is not what was written.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    data = folder.read(name)
    if not is_sealed(data):
        raise DamagedError(f"{name} in {str(folder)!r} was cut off or changed since it was written")
    table = pq.read_table(io.BytesIO(data))
    info = json.loads((table.schema.metadata or {}).get(b"headatlas", b"{}"))
    return pd.read_parquet(io.BytesIO(data)), info
