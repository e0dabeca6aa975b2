"""`from_rows`: a dataset from rows in memory, in the form of `own.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headatlas.cogvsr import CogVSR, files
from headatlas.cogvsr.enough import shares_of
from headatlas.cogvsr.sources import ROW_READERS
from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import LeftOut, Picture, Unusable
from headatlas.importing.fetch import Pictures
from headatlas.importing.own import NAME, drafts_of
from headatlas.importing.run import Report, read_drafts, with_images, write_drafts
from headatlas.pictures import encode, open_picture, read_image
from headatlas.progress import Progress


@ROW_READERS.register(NAME)
def from_rows(
    rows: Iterable[Any],
    out: str | Path | None = None,
    *,
    seed: int = 0,
    splits: Sequence[str] = ("P", "S", "T", "E"),
    progress: Progress | None = None,
) -> CogVSR:
    """See `headatlas.cogvsr.from_rows`."""
    shares = shares_of(splits)
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise HeadAtlasError(
            f"rows must be a list of mappings such as {{'image': ..., 'question': ..., 'answer': ...}}, got a "
            f"{type(rows).__name__}; for a file use headatlas data from FILE --out DIR"
        )
    report = Report(NAME, "own questions", "rows in memory", "as you say", False, seed, None)
    drafts = read_drafts(drafts_of(_named(rows), _pictured), NAME, report)
    kept = with_images(drafts, None, seed, Pictures([], None), report, progress)
    _refuse([*report.left_out, *report.missing], len(drafts) + len(report.left_out))
    if out is not None:
        write_drafts(kept, report, shares, Path(out))
        return CogVSR(files.open_path(Path(out)), Path(out).name)
    with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
        write_drafts(kept, report, shares, Path(folder) / "data")
        table = files.in_memory(files.parquet_files(Path(folder) / "data"))
    return CogVSR(files.checked(table, NAME), NAME)


def _named(rows: Iterable[Any]) -> Iterable[tuple[str, Mapping[str, Any]] | LeftOut]:
    for number, row in enumerate(rows):
        if isinstance(row, Mapping):
            yield f"row {number}", row
        else:
            yield LeftOut(f"row {number}", f"must be a mapping with image, question and answer, got {row!r:.40}")


def _refuse(faults: Sequence[LeftOut], n: int) -> None:
    if not n:
        raise HeadAtlasError("rows must hold at least one question, got none")
    if faults:
        more = f" (and {len(faults) - 1} more of {n} rows)" if len(faults) > 1 else ""
        raise HeadAtlasError(f"{faults[0]}{more}")


def _pictured(value: Any, name: str) -> Picture:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytes, bytearray)):
        data = bytes(value)
        return Picture(name, read=lambda: data)
    if isinstance(value, (Image.Image, np.ndarray)):
        picture = open_picture(value)
        return Picture(name, read=lambda: encode(picture))
    if isinstance(value, (str, Path)):
        path = Path(value).expanduser()
        return Picture(str(path), read=lambda: read_image(path))
    raise Unusable(f"field image: must be a PIL image, a path, bytes or a uint8 array, got a {type(value).__name__}")
