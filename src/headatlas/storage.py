"""Folders and files that are there whole or not at all, on a disk or on object storage.

`Folder` reads and writes single files under a path or an fsspec address (`s3://bucket/run`, `gs://...`, `memory://...`).
`replacing` writes a whole local folder anew, so that a crash at any moment leaves the old or the new one. `safe_name` makes a
file name of text that comes from data.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import filelock

from headatlas.errors import HeadAtlasError

_NUMBER = itertools.count()


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
            return (self.local / name).exists()
        fs, root = self._fs()
        fs.invalidate_cache()
        return bool(fs.exists(f"{root}/{name}"))

    def read(self, name: str) -> bytes:
        """The bytes of a file; `FileNotFoundError` if it is not there."""
        if self.local is not None:
            return (self.local / name).read_bytes()
        fs, root = self._fs()
        return bytes(fs.cat_file(f"{root}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole, in place of an earlier one.

        Raises:
            HeadAtlasError: it cannot be written; a full disk stays an `OSError`.
        """
        if self.local is None:
            fs, root = self._fs()
            try:
                fs.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                fs.pipe_file(f"{root}/{name}", data)
            except OSError as error:
                raise HeadAtlasError(f"cannot write {name} to {self.where!r}: {error}") from error
            return
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may write the same file at a time, each its own one beside it.
        beside = path.with_name(f"{path.name}.{os.getpid()}-{next(_NUMBER)}.part")
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        elif self.has(name):
            fs, root = self._fs()
            fs.rm_file(f"{root}/{name}")

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


def safe_name(text: str) -> str:
    """A file name for text from data, such as a question's id: no path, valid on every system, another one for other text.

    Short lower-case names of letters, digits, `_` and `-` stay as they are; of others what is harmless is kept, and 16 hex
    digits of the whole text are added.
    """
    plain = re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text)
    if plain and not re.search(r"-[0-9a-f]{16}$", text) and not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", text):
        return text
    kept = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:40].strip("-")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{kept}-{digest}" if kept else f"x-{digest}"


_STAGED = ".headatlas-writing"
"""Marks a folder that `replacing` was filling."""


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the only lock of `path`, a file beside it; for writers, of this machine or of another that shares the disk.

    Raises:
        HeadAtlasError: another process holds it, or the lock cannot be made; `what` says in the message what it is writing.
    """
    path = Path(os.path.realpath(path))
    name = path.with_name(f".{path.name}.lock")
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(name, timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise HeadAtlasError(
            f"another process is writing {what} {path}; wait until it has ended, or use another folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise HeadAtlasError(f"cannot write {what} {path} ({getattr(error, 'strerror', '') or error})") from error
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        lock.release()


@contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """Write the folder `path` anew: yields an empty folder beside it, which takes its place when the block ends without error.

    An error in the block leaves what was there. After a crash at any moment, `recover` or the next `replacing` finds the old
    folder or the new one. Nothing is deleted but the earlier folder and what earlier calls for the same path left behind.

    Args:
        path: the folder; its parents are made.
        what: what it is, for messages, such as `"the dataset"`.

    Raises:
        HeadAtlasError: another process is writing it, or the disk refuses.
    """
    path = Path(os.path.realpath(path))
    with locked(path, what):
        try:
            recover(path)
            for left in path.parent.glob(f"{_glob_escape(f'.{path.name}.')}*.writing"):
                if (left / _STAGED).is_file() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
            staging, old = path.with_name(f".{path.name}.{uuid4().hex[:12]}.writing"), _old(path)
            try:
                staging.mkdir()
                (staging / _STAGED).touch()
                (staging / "new").mkdir()
                yield staging / "new"
                if path.exists():
                    if old.exists():  # of a crash after an exchange: `path` is newer
                        shutil.rmtree(old)
                    path.rename(old)
                (staging / "new").rename(path)
                shutil.rmtree(old, ignore_errors=True)
            except BaseException:
                recover(path)
                raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise HeadAtlasError(f"cannot write {what} {path} ({error.strerror or error})") from error


def recover(path: Path) -> None:
    """Bring back the folder `path` if a crash came while `replacing` was exchanging it for a new one."""
    path = Path(os.path.realpath(path))
    old = _old(path)
    if not path.exists() and old.is_dir():
        with suppress(FileNotFoundError):  # another process was faster
            old.rename(path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.headatlas-old")


def _glob_escape(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)
