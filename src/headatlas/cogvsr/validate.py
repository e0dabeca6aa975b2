"""List every fault of a dataset in files, with its position and field, even if the files are broken or hostile.

Memory is bounded: a line is read up to 16 MB, Parquet a few rows at a time. Links out of the folder are not followed, images are
decoded within limits, and text from the data is quoted in messages, with control characters replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headatlas.cogvsr import files, rows
from headatlas.cogvsr.lines import BadLine, decode, read_lines
from headatlas.cogvsr.parquet import open_parquet, reading
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.pictures import fault_of_name, inside, judge, read_image

LONGEST_TEXT = 100_000
"""Characters a field of text may have."""

_LARGEST_GROUP = 2 * 2**30
_ROWS = 4


@dataclass(frozen=True)
class Fault:
    """One fault: its position (`questions.jsonl:12`, `questions-00000.parquet:3`), its field, and what is wrong."""

    where: str
    field: str
    message: str

    def __str__(self) -> str:
        line = f"{self.where[-200:]}: {f'field {self.field[:80]}: ' if self.field else ''}{self.message[:400]}"
        # Names of fields may come from the data: they are cut, and control characters are replaced.
        return "".join(c if c.isprintable() else "\ufffd" for c in line)


@dataclass
class Checked:
    """Counts of a validation: questions read, faults found, and questions whose picture is at an address, which is not asked."""

    questions: int = 0
    faults: int = 0
    remote: int = 0


def validate(path: str | Path, counted: Checked | None = None) -> Iterator[Fault]:
    """Yield the faults of a `.jsonl` file, a `.parquet` file, or a folder of these, in the order they are met.

    Checked in each question: every field against the schema, text that is empty, too long or cannot be written, numbers that
    are NaN or infinite, answers that do not fit their type or options, unknown functions, images that are missing, broken,
    too large or outside the folder. Checked over all: ids and minimal pairs, and that no image and no scene is in two splits.

    Args:
        path: what to check; nothing in it is changed.
        counted: filled in while faults are yielded, if given.

    Raises:
        HeadAtlasError: there is nothing to check at `path`.
    """
    root, counted = Path(path), counted if counted is not None else Checked()
    tables = _tables(root)
    whole = _Whole()
    if missing := files.missing_file(root, tables):
        counted.faults += 1
        yield Fault(root.name, "", missing)
    for table in tables:
        name = table.name if root.is_file() else table.relative_to(root).as_posix()
        for fault in _jsonl(table, name, whole) if table.suffix == ".jsonl" else _parquet(table, name, whole):
            counted.faults += 1
            counted.questions = whole.questions
            yield fault
    for fault in whole.faults():
        counted.faults += 1
        yield fault
    counted.questions = whole.questions


def _tables(root: Path) -> list[Path]:
    if not root.exists():
        raise HeadAtlasError(f"{root}: no such file or folder")
    if root.is_file() and root.suffix not in (".jsonl", ".parquet"):
        raise HeadAtlasError(f"{root}: must be a .jsonl or .parquet file, or a folder with them")
    found = [root] if root.is_file() else sorted([*files.parquet_files(root), *root.rglob("*.jsonl")])
    if not found:
        raise HeadAtlasError(f"{root}: must hold .jsonl or .parquet files, found none")
    return found


class _Whole:
    """Checks between questions; stores ids, scenes and image digests, some hundred bytes a question."""

    def __init__(self) -> None:
        self.questions = 0
        self._ids: dict[str, str] = {}
        self._pairs: list[tuple[str, str]] = []
        self._splits: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, question: Question, where: str, images: list[str]) -> Iterator[Fault]:
        """Faults of this question against those before it."""
        self.questions += 1
        first = self._ids.setdefault(question.id, where)
        if first != where:
            yield Fault(where, "id", f"{question.id[:80]!r} is already the id of {first}")
        if question.pair:
            self._pairs.append((where, question.pair))
        keys = [("scene", question.scene)] if question.scene else []
        for kind, name in [*keys, *(("image", digest) for digest in images)]:
            split, before = self._splits.setdefault((kind, name), (question.split, where))
            if split != question.split:
                field = "images" if kind == "image" else "scene"
                what = "the same image" if kind == "image" else f"scene {name[:60]!r}"
                yield Fault(where, field, f"{what} is in split {question.split} here and in split {split} in {before}")

    def faults(self) -> Iterator[Fault]:
        """Faults that are only known at the end."""
        if not self.questions:
            yield Fault("the dataset", "", "no valid question in it")
        for where, pair in self._pairs:
            if pair not in self._ids:
                yield Fault(where, "pair", f"no question {pair[:80]!r} in the dataset")


# -- JSON lines ----------------------------------------------------------------------------------------------------------


def _jsonl(path: Path, name: str, whole: _Whole) -> Iterator[Fault]:
    try:
        for number, line in read_lines(path):
            where = f"{name}:{number}"
            if isinstance(line, BadLine):
                yield Fault(where, "", str(line))
                continue
            try:
                record, twice = decode(line)
            except ValueError as error:
                yield Fault(where, "", str(error))
                continue
            for field in twice:
                yield Fault(where, field[:60], "stands twice in one object")
            if not isinstance(record, dict):
                yield Fault(where, "", f"must be an object with a question's fields, got {rows.short(record)}")
                continue
            yield from _question(record, where, whole, _named_images(record, path.parent))
    except OSError as error:
        yield Fault(name, "", f"cannot be read ({error.strerror or error})")


def _named_images(record: dict[str, Any], folder: Path) -> list[tuple[str, bytes | str]]:
    """(field, bytes or what is wrong) of each image; takes `images` out of the record."""
    images = record.pop("images", None)
    if images is None:
        return []
    if not isinstance(images, list):
        return [("images", f"must be a list of paths, got {rows.short(images)}")]
    found: list[tuple[str, bytes | str]] = []
    for i, image in enumerate(images):
        field = f"images.{i}"
        if not isinstance(image, str):
            found.append((field, f"must be a path, got {rows.short(image)}"))
        elif fault := fault_of_name(image):
            found.append((field, fault))
        else:
            found.append((field, _file(folder, image)))
    return found


def _file(folder: Path, image: str) -> bytes | str:
    path = inside(folder, image)
    if path is None:
        outside = (folder / image).is_symlink() or (folder / image).exists()
        return f"{rows.short(image)} is {'a link out of the folder or no file' if outside else 'not there'}"
    try:
        return read_image(path)
    except OSError as error:
        return f"{rows.short(image)} cannot be read ({error.strerror or error})"


# -- Parquet -------------------------------------------------------------------------------------------------------------


def _parquet(path: Path, name: str, whole: _Whole) -> Iterator[Fault]:
    try:
        file = open_parquet(path)
        missing = [column for column in rows.REQUIRED if column not in file.schema_arrow.names]
        if missing:
            yield Fault(name, "", f"no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)[:200]}")
            return
        large = [g for g in range(file.num_row_groups) if file.metadata.row_group(g).total_byte_size > _LARGEST_GROUP]
        for group in large:
            size = file.metadata.row_group(group).total_byte_size
            yield Fault(
                name, "", f"row group {group} unpacks to {size:,} bytes; it must have at most {_LARGEST_GROUP:,}"
            )
        groups = [g for g in range(file.num_row_groups) if g not in large]
        batches = file.iter_batches(batch_size=_ROWS, row_groups=groups)
        number = 0
        while True:
            with reading(name):
                batch = next(batches, None)
                if batch is None:
                    return
                records = batch.to_pylist()
            for row in records:
                images = _cells(row)
                yield from _question(row, f"{name}:{number}", whole, images)
                number += 1
    except HeadAtlasError as error:
        yield Fault(name, "", str(error).removeprefix(f"{path}: ").removeprefix(f"{name}: "))


def _cells(row: dict[str, Any]) -> list[tuple[str, bytes | str]]:
    found: list[tuple[str, bytes | str]] = []
    for i, cell in enumerate(rows.image_cells(row)):
        data, path = cell.get("bytes"), cell.get("path")
        if isinstance(data, bytes):
            found.append((f"images.{i}", data))
        else:
            what = f"only the path {rows.short(path)}" if path else "nothing"
            found.append((f"images.{i}", f"must be the bytes of an image, got {what}"))
    row.pop("images", None)
    return found


# -- one question --------------------------------------------------------------------------------------------------------


def _question(
    record: Mapping[str, Any], where: str, whole: _Whole, images: list[tuple[str, bytes | str]]
) -> Iterator[Fault]:
    faults = list(_values(record, ""))
    yield from (Fault(where, field, message) for field, message in faults)
    digests: list[str] = []
    for field, image in images:
        fault, digest = (image, "") if isinstance(image, str) else judge(image)
        if fault:
            yield Fault(where, field, fault)
        else:
            digests.append(digest)
    try:
        question = Question.model_validate({**rows.DEFAULTS, **rows.without_nulls(record), "images": ()})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=True)
        reported = {field for field, _ in faults}
        inner = {one["loc"][:k] for one in found for k in range(1, len(one["loc"]))}
        for one in found:
            field = ".".join(str(part) for part in one["loc"])
            # pydantic also reports a list as too short if its items are wrong, which adds nothing.
            if field not in reported and not (one["type"] == "too_short" and one["loc"] in inner):
                message = one["msg"].removeprefix("Value error, ")
                got = "" if ", got " in message or one["type"] == "missing" else f", got {rows.short(one.get('input'))}"
                yield Fault(where, field, message[:300] + got)
        return
    for field, message in _labels(question):
        yield Fault(where, field, message)
    yield from whole.add(question, where, digests)


def fault_of(question: Question) -> str | None:
    """What `validate` would find in a question alone, its images aside: the first fault with its field, or None."""
    fields = question.model_dump(exclude={"images"})
    return next((f"field {field}: {message}" for field, message in (*_values(fields, ""), *_labels(question))), None)


def _values(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Numbers and texts that no field may hold."""
    if isinstance(value, float) and not math.isfinite(value):
        yield field, f"must be a number, got {value}"
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            yield field, f"{len(value):,} characters long; it must have at most {LONGEST_TEXT:,}"
        elif "\0" in value:
            yield field, "holds a null character"
        elif not value.isprintable() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            yield field, "holds half a surrogate pair, which is no text"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _values(item, f"{field}.{key}" if field else str(key)[:60])
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _values(item, f"{field}.{i}")


def _labels(question: Question) -> Iterator[tuple[str, str]]:
    """Answers that do not fit their type or options."""
    parts = [("answer", question), *((f"steps.{i}.answer", step) for i, step in enumerate(question.steps))]
    for field, part in parts:
        answer = part.answer
        if not answer.strip() or answer.strip() in ("nan", "NaN", "None", "null"):
            yield field, f"must be an answer, got {rows.short(answer)}"
        elif part.answer_type == "yes_no" and answer not in ("yes", "no"):
            yield field, f"must be 'yes' or 'no', got {rows.short(answer)}"
        elif part.answer_type == "number" and not _is_number(answer):
            yield field, f"must be a number, got {rows.short(answer)}"
        elif part.answer_type == "choice" and part.options and answer not in part.options:
            yield field, f"must be one of {', '.join(map(rows.short, part.options[:6]))}, got {rows.short(answer)}"
        elif part.answer_type == "choice" and not part.options:
            yield field.replace("answer", "options"), "a choice without options"
        if len(set(part.options)) < len(part.options):
            yield field.replace("answer", "options"), f"an option stands twice in {rows.short(list(part.options))}"
        if not part.text.strip():
            yield field.replace("answer", "text"), "must be text, got only spaces"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
