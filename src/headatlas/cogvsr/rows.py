"""Convert questions to rows of a table, and back.

Images are stored as encoded bytes (PNG if they were in memory) or as a path, and decoded when a question is accessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa
from PIL import Image
from pydantic import ValidationError

from headatlas import pictures
from headatlas._moved import old_names
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
    """Rows as an Arrow table with the columns of `FEATURES`.

    Raises:
        HeadAtlasError: a value cannot be stored, such as a number of more than 64 bits or half a surrogate pair.
    """
    plain = [dict(row) for row in rows]
    try:
        return pa.Table.from_pylist(plain, schema=FEATURES.arrow_schema)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        for row in plain:
            try:
                pa.Table.from_pylist([row], schema=FEATURES.arrow_schema)
            except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError) as error:
                name, line = short(str(row.get("id", ""))), " ".join(str(error).split())[:160]
                raise HeadAtlasError(
                    f"record {name} holds a value that cannot be stored ({printable(line)})"
                ) from error
        raise


def short(value: Any) -> str:
    """A value quoted in one line of at most 60 characters, control characters escaped."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        text = type(value).__name__
    return printable(text if len(text) <= 60 else f"{text[:57]}...")


def printable(text: str) -> str:
    """Text from data with control characters replaced, safe to print on a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def image_cells(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The encoded images of a row, `{"bytes", "path"}` each; a column of single images counts as lists of one.

    Anything that is not an image becomes an empty mapping, so that it can be reported with its position.
    """
    cells = row.get("images")
    if cells is None:
        return []
    return [
        cell if isinstance(cell, Mapping) else {} for cell in (cells if isinstance(cells, (list, tuple)) else [cells])
    ]


def _decode(cell: Mapping[str, Any], name: str, index: int) -> Image.Image:
    data, path = cell.get("bytes"), cell.get("path")
    if not isinstance(data, bytes) and not (data is None and isinstance(path, str) and path):
        raise HeadAtlasError(f"question {name!r}: image {index} is missing; it must hold an encoded picture or a path")
    try:
        return pictures.open_picture(data if isinstance(data, bytes) else str(path))
    except HeadAtlasError as error:
        fault = str(error).removeprefix("cannot read image ")
        raise HeadAtlasError(f"question {name!r}: image {index} cannot be read: {fault}") from error


def without_nulls(value: Any) -> Any:
    """Drop null fields, which Arrow adds for missing ones, so that the schema's defaults apply."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return tuple(without_nulls(item) for item in value)
    return value


def to_question(row: Mapping[str, Any], where: str, images: bool = True) -> Question:
    """Check a row and return its question; `where` names the record in errors when it has no id of its own.

    With `images=False` nothing is decoded and `question.images` is empty.

    Raises:
        HeadAtlasError: a field breaks the schema, or an image cannot be read.
    """
    try:
        fields = {**DEFAULTS, **without_nulls({key: value for key, value in row.items() if key != "images"})}
    except RecursionError as error:
        raise HeadAtlasError(f"record {short(where)} is nested too deeply") from error
    name = printable(str(fields.get("id", where))[:80])
    fields["images"] = tuple(_decode(cell, name, i) for i, cell in enumerate(image_cells(row))) if images else ()
    try:
        return Question.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = printable(".".join(str(part)[:60] for part in first["loc"])) or "steps"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = printable(" ".join(first["msg"].removeprefix("Value error, ").split())[:300])
        raise HeadAtlasError(f"record {name!r}, field {field}: {message}{more}") from error


def iter_questions(rows: Iterable[Mapping[str, Any]], images: bool = True) -> Iterator[Question]:
    """Questions of rows, one at a time."""
    for i, row in enumerate(rows):
        yield to_question(row, f"row {i}", images)


__getattr__ = old_names(__name__)
