"""Read a user's own questions from files: tables as they are, lmms-eval's sample files, VLMEvalKit's TSVs and result files.

What lmms-eval and VLMEvalKit add (replies, scores, indices) is not used. Both leave pictures out of their results; a question
whose record names no picture gets the picture called by its id, `17.jpg` for question 17, from the folders searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin
from headatlas.importing.own import FIELDS, NAME, Pictured, drafts_of, named
from headatlas.importing.records import Record, Spool, read_records
from headatlas.importing.registry import importer

PATTERNS = ("*.jsonl", "*.csv", "*.tsv", "*.json", "*.parquet", "*.xlsx")

_NOT_TABLES = re.compile(r"(_results|\.import|_acc|_score|config)\.(json|csv|tsv|xlsx)$|^results\.json$", re.IGNORECASE)
"""Names of what evaluations write beside their questions."""

_ENCODED = ("iVBOR", "/9j/", "R0lG", "UklGR", "Qk", "SUkq", "TU0A")
"""How the base64 text of PNG, JPEG, GIF, WebP, BMP and TIFF begins."""

_INDEX = 64
"""VLMEvalKit: an `image` of at most as many characters is the index of the row that holds the picture."""


def own_tables(origin: Origin) -> list[Path]:
    """The tables with questions in a folder, or the one file that was named.

    Raises:
        HeadAtlasError: there is none, there are several kinds, or it is a table that cannot be read, such as .pkl.
    """
    if origin.file is not None:
        if origin.file.suffix.lower() in (".xls", ".pkl"):
            raise HeadAtlasError(
                f"{origin.file}: must be a .jsonl, .json, .csv, .tsv, .parquet or .xlsx file; save it as one of these"
            )
        return [origin.file]
    samples = origin.files("*samples*.jsonl")
    if samples:
        return samples
    found = {
        pattern: [path for path in origin.files(pattern) if not _NOT_TABLES.search(path.name)] for pattern in PATTERNS
    }
    kinds = [paths for paths in found.values() if paths]
    if not kinds:
        raise HeadAtlasError(
            f"{origin.root}: must hold a table of questions ({', '.join(PATTERNS)}), found none; write questions.jsonl with one "
            'line a question: {"image": "a.jpg", "question": "Is the cup left of the plate?", "answer": "yes"}'
        )
    if len(kinds) > 1:
        names = ", ".join(paths[0].name for paths in kinds)
        raise HeadAtlasError(
            f"{origin.root}: holds tables of several kinds ({names}): name the file to read instead of the folder"
        )
    return kinds[0]


@importer(
    NAME,
    title="your files",
    home="-",
    licence="as you say",
    shareable=False,
    steps="one",
    tested_on="documented form",
)
def own(origin: Origin) -> Iterator[Draft | LeftOut]:
    """Rows with image, question and answer, and whatever else they say; see docs/data.md."""
    tables = own_tables(origin)
    stem = len(tables) > 1
    return drafts_of((row for path in tables for row in _rows(path, stem)), pictured_in(origin.root))


def _rows(path: Path, stem: bool) -> Iterator[tuple[str, Mapping[str, Any]] | LeftOut]:
    """The rows of one table as plain fields; `stem` puts the table's name before ids, which may repeat from table to table."""
    by_index: dict[str, Any] = {}
    if _holds_indices(path):
        by_index = {str(row.get("index")): row.get("image") for row in read_records(path) if isinstance(row, Record)}
    for record in read_records(path):
        if isinstance(record, LeftOut):
            yield record
            continue
        try:
            fields = named(record)
        except Unusable as error:
            yield left_out(record.where, error)
            continue
        if "doc" in fields and ("resps" in fields or "doc_id" in fields):
            fields = _from_lmms_eval(fields)
        else:
            image = fields.get("image")
            if by_index and isinstance(image, str) and len(image) <= _INDEX and image in by_index:
                fields["image"] = by_index[image]
            if "index" in fields and ("prediction" in fields or _is_vlmevalkit(fields)):
                fields.pop("split", None)  # dev or test of the benchmark
        if (
            stem
            and (name := next((fields[key] for key in FIELDS["id"] if fields.get(key) is not None), None)) is not None
        ):
            fields["id"] = f"{path.stem}-{name}"
        if "id" in fields or "index" in fields or "question_id" in fields:
            _add_picture_by_id(fields)
        yield record.where, fields


def _is_vlmevalkit(fields: Mapping[str, Any]) -> bool:
    return "A" in fields or "l2-category" in fields or "image_path" in fields


def _holds_indices(path: Path) -> bool:
    """Whether a table has VLMEvalKit's columns `index` and `image`, so that an image may stand in another row."""
    first = next((row for row in read_records(path) if isinstance(row, Record)), None)
    return first is not None and "index" in first and isinstance(first.get("image"), str)


def _from_lmms_eval(record: Mapping[str, Any]) -> dict[str, Any]:
    """The row of one of lmms-eval's samples: fields of its `doc`, the prompt where `doc` has no question, `target` as answer."""
    doc = record["doc"]
    if not isinstance(doc, Mapping):
        doc = {}
    fields = {key: value for key, value in doc.items() if key != "split"}
    if not any(fields.get(name) for name in FIELDS["question"]):
        prompts = [record.get("input"), record.get("input_text"), *_flat(record.get("arguments"))]
        fields["question"] = next((text for text in prompts if isinstance(text, str) and text.strip()), None)
    target = record.get("target")
    if target is not None and target != "":
        fields = {key: value for key, value in fields.items() if key not in FIELDS["answer"]} | {"answer": target}
    if not any(fields.get(name) is not None for name in FIELDS["id"]):
        fields["id"] = record.get("doc_id")
    if record.get("image_paths") and not any(fields.get(name) for name in FIELDS["image"]):
        fields["image"] = record["image_paths"]
    return fields


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for one in value for leaf in _flat(one)]
    if isinstance(value, Mapping):
        return [leaf for one in value.values() for leaf in _flat(one)]
    return [value]


def _add_picture_by_id(fields: dict[str, Any]) -> None:
    if not any(fields.get(name) not in (None, "", []) for name in FIELDS["image"]):
        name = next((fields[key] for key in FIELDS["id"] if fields.get(key) is not None), "")
        if isinstance(name, (str, int)) and str(name).strip():
            fields["image"] = str(name)


def pictured_in(root: Path) -> Pictured:
    """How the pictures of rows in files are found: by path below `root`, by address, or in the row as base64 or bytes."""
    spool = Spool()

    def pictured(value: Any, name: str) -> Picture:
        if isinstance(value, Picture):
            return value
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path") or value.get("url")
        if isinstance(value, (bytes, bytearray)):
            data = bytes(value)
            return Picture(name, read=lambda: data)
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise Unusable(f"field image: must be a path, an address or base64 text, got {value!r:.40}")
        text = str(value).strip()
        if re.match(r"https?://", text):
            return Picture(re.split(r"[?#]", text)[0].rsplit("/", 1)[-1] or name, url=text)
        if text.startswith("data:") or (len(text) > _INDEX and text.startswith(_ENCODED)):
            return spool.picture(name, "".join(text.split()) if not text.startswith("data:") else text)
        path = Path(text)
        if path.is_absolute() and path.is_relative_to(root.absolute()):
            text = path.relative_to(root.absolute()).as_posix()
        elif path.is_absolute():
            raise Unusable(
                f"field image: must be a path relative to {root.name or 'the file'}, got the absolute {text[:80]!r}; write "
                f"{path.name!r} and name its folder with --images"
            )
        return Picture(text)

    return pictured
