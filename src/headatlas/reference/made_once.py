"""Folders of the cache that are made once and used from then on, by several processes too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import filelock

from headatlas.storage import file_lock, replacing, write_error

RECORD = "assembled.json"
"""Names and sizes (bytes) of the folder's files: a folder from which files were removed is made again."""


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds all files that `made_once` recorded, of the sizes that they had."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record == _sizes(folder)
    except (OSError, ValueError):
        return False


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, which `make` has filled once; of several processes one makes it and the others wait.

    Args:
        folder: appears in one step, when `make` has returned; what is missing of its parents is made.
        make: fills the empty folder that it is given. If it raises, `folder` does not appear and the next call tries again.

    Raises:
        HeadAtlasError: the folder cannot be written.
    """
    if is_complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = file_lock(folder.with_name(f".{folder.name}.wait"), timeout=-1)
    except (OSError, filelock.Timeout) as error:
        raise write_error(folder, error) from error
    try:
        if not is_complete(folder):  # another process may have made it in the meantime
            with replacing(folder, "the model") as new:
                make(new)
                (new / RECORD).write_text(json.dumps(_sizes(new)), encoding="utf-8")
    finally:
        lock.release()
    return folder


def _sizes(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != RECORD)
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(files)}
