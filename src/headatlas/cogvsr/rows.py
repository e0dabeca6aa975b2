"""A question as a row of a table, and back: the Arrow features of CogVSR and what can be wrong with a row.

Knows `datasets` features, Arrow and the schema; knows nothing of folders and hubs. Images are kept as encoded bytes
(PNG when they come from memory) or as a path, and decoded when a question is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa
from PIL import Image
from pydantic import ValidationError

from headatlas.cogvsr import pictures
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError

_TEXT, _WHOLE, _REAL = datasets.Value("string"), datasets.Value("int64"), datasets.Value("float64")
_BOX = dict.fromkeys(("x0", "y0", "x1", "y1"), _REAL)

FEATURES = datasets.Features(
    {
        **dict.fromkeys(("id", "source", "split", "family", "scene"), _TEXT),
        "images": datasets.List(datasets.Image()),
        "text": _TEXT,
        "options": datasets.List(_TEXT),
        "answer": _TEXT,
        "answer_type": _TEXT,
        "steps": datasets.List(
            {
                **dict.fromkeys(("text", "answer", "answer_type", "kind"), _TEXT),
                "functions": datasets.List(_TEXT),
                "options": datasets.List(_TEXT),
                "needs_image": datasets.Value("bool"),
                "boxes": datasets.List(_BOX),
            }
        ),
        "objects": datasets.List(
            {
                **dict.fromkeys(("cls", "color", "size", "texture", "facing"), _TEXT),
                **dict.fromkeys(("id", "row", "column", "depth"), _WHOLE),
                "box": _BOX,
                "visible": _REAL,
            }
        ),
        "pair": _TEXT,
        "pair_kind": _TEXT,
    }
)
"""The columns of CogVSR as stored; `steps` and `objects` are lists of structs, boxes XYXY in 0..1."""

REQUIRED = ("id", "text", "answer", "answer_type", "steps")
DEFAULTS: dict[str, Any] = {"source": "file", "split": "E"}


def digest(data: bytes) -> str:
    """32 hex digits of the encoded bytes of an image: the name of its file in exports."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def to_row(question: Question) -> dict[str, Any]:
    """A question as plain values, its images as `{"bytes": PNG, "path": None}`."""
    row = question.model_dump(exclude={"images"})
    row["images"] = [{"bytes": pictures.encode(image), "path": None} for image in question.images]
    return row


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the columns of `FEATURES`."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=FEATURES.arrow_schema)


def image_cells(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The undecoded images of a row, `{"bytes", "path"}` each; a column of single images counts as lists of one."""
    cells = row.get("images") or []
    return [cells] if isinstance(cells, Mapping) else [cell if isinstance(cell, Mapping) else {} for cell in cells]


def _decode(cell: Mapping[str, Any], name: str, index: int) -> Image.Image:
    data, path = cell.get("bytes"), cell.get("path")
    if data is None and not path:
        raise HeadAtlasError(f"question {name!r}: image {index} is missing; it must hold an encoded picture or a path")
    try:
        return pictures.open_picture(data if data is not None else path)
    except HeadAtlasError as error:
        fault = str(error).removeprefix("cannot read image ")
        raise HeadAtlasError(f"question {name!r}: image {index} cannot be read: {fault}") from error


def without_nulls(value: Any) -> Any:
    """Drop null fields, in which Arrow keeps what a record left out: the schema's own defaults then hold."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return tuple(without_nulls(item) for item in value)
    return value


def to_question(row: Mapping[str, Any], where: str, images: bool = True) -> Question:
    """Check a row and return its question; `where` names the record in errors when it has no id of its own.

    With `images=False` nothing is decoded and `question.images` is empty.
    """
    fields = {**DEFAULTS, **without_nulls({key: value for key, value in row.items() if key != "images"})}
    name = str(fields.get("id", where))
    fields["images"] = tuple(_decode(cell, name, i) for i, cell in enumerate(image_cells(row))) if images else ()
    try:
        return Question.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "steps"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise HeadAtlasError(f"record {name!r}, field {field}: {message}{more}") from error


def iter_questions(rows: Iterable[Mapping[str, Any]], images: bool = True) -> Iterator[Question]:
    """Questions of rows, one at a time."""
    for i, row in enumerate(rows):
        yield to_question(row, f"row {i}", images)
