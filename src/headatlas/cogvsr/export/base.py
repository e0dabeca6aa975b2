"""Write a dataset in one of the registered formats, atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headatlas.cogvsr.rows import digest
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.pictures import suffix_of
from headatlas.registry import Registry
from headatlas.storage import replacing

Writer = Callable[[CogVSR, Path], None]
"""Writes a dataset into an empty folder."""

FORMATS: Registry[Writer] = Registry("format", ["headatlas.cogvsr.export.*"])
writes = FORMATS.register
MARK = ".headatlas-export"
"""Name of a file that marks folders made by `export`, which it may replace."""


def export(data: CogVSR, form: str, out: str | Path) -> Path:
    """Write `data` in the format `form` (`hub`, `jsonl`, `cogqa`) into the folder `out`, replacing an earlier export there.

    Raises:
        HeadAtlasError: unknown format, `out` holds something else, another process is writing it, or the disk refuses.
    """
    path, write = Path(out), FORMATS[form]
    if path.exists() and not (path / MARK).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise HeadAtlasError(f"{path} must be a new folder or one with an earlier export; it holds other things")
    with replacing(path, "the export") as folder:
        write(data, folder)
        (folder / MARK).write_text(f"{form}\n", encoding="utf-8")
    return path


def save_image(data: bytes, folder: Path) -> str:
    """Write an encoded image under `folder/images` once, named by its content; return its path relative to `folder`."""
    name = f"images/{digest(data)}{suffix_of(data)}"
    path = folder / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return name
