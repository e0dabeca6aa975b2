"""Read the records of a table one at a time: JSON lines, JSON, TSV, CSV, Parquet, or an Excel workbook (.xlsx).

An encoded image in a Parquet table becomes a `Picture` that is read on demand, so that large tables need little memory.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from headatlas.cogvsr.lines import BadLine, read_lines
from headatlas.cogvsr.parquet import open_parquet
from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin, regular

_LONGEST_CELL = 128 * 2**20
_STRAY = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is not UTF-8


class Record(Mapping[str, Any]):
    """The fields of a record. Its methods raise `Unusable`, naming field and value, for a value of the wrong kind."""

    def __init__(self, fields: Mapping[str, Any], where: str):
        self._fields, self.where = fields, where

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def text(self, *names: str, default: str | None = None) -> str:
        """The first of these fields that holds text, stripped; numbers count as text."""
        for name in names:
            value = self._fields.get(name)
            if (
                isinstance(value, (str, int, float))
                and not isinstance(value, bool)
                and value == value
                and str(value).strip()
            ):
                return str(value).strip()
        if default is not None:
            return default
        raise Unusable(f"field {' or '.join(names)}: must be text, got {self._fields.get(names[0])!r:.60}")

    def items_of(self, name: str) -> list[Any]:
        """A field that is a list, or a JSON list as text."""
        value = self._fields.get(name)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = None
        if not isinstance(value, (list, tuple)):
            raise Unusable(f"field {name}: must be a list, got {self._fields.get(name)!r:.60}")
        return list(value)


def each(
    origin: Origin, convert: Callable[[Record], Draft | Iterator[Draft]], *patterns: str, key: str = ""
) -> Iterator[Draft | LeftOut]:
    """Convert every record of the origin's tables; a record that cannot be used becomes a `LeftOut` with the reason.

    Args:
        origin: where the tables are.
        convert: makes one or several drafts of a record.
        patterns: file names of the tables.
        key: the field of a JSON object that holds the records.
    """
    for path in origin.need(*patterns):
        for record in read_records(path, key):
            if isinstance(record, LeftOut):
                yield record
                continue
            try:
                made = convert(record)
                yield from [made] if isinstance(made, Draft) else list(made)
            except ODD as error:
                yield left_out(record.where, error)


def read_records(path: Path, key: str = "") -> Iterator[Record | LeftOut]:
    """The records of one file, by its suffix; a `LeftOut` for each line or row that cannot be read.

    Raises:
        HeadAtlasError: the file cannot be read, or its format is not known.
    """
    readers = {
        ".jsonl": _jsonl, ".json": _json, ".tsv": _separated, ".csv": _separated, ".parquet": _parquet, ".xlsx": _workbook,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise HeadAtlasError(f"{path}: must be a table ({', '.join(readers)})")
    try:
        with regular(path).open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise HeadAtlasError(f"{path}: must be UTF-8, got UTF-16: save it as UTF-8 text")
        yield from _json(regular(path), key) if reader is _json else reader(regular(path))
    except HeadAtlasError:
        raise
    except (OSError, pa.ArrowException, ValueError, ArithmeticError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise HeadAtlasError(f"{path}: cannot be read ({reason})") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file; `HeadAtlasError` if it cannot be read."""
    try:
        return json.loads(regular(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeadAtlasError(f"{path}: not JSON ({str(error).splitlines()[0]})") from error


def _jsonl(path: Path) -> Iterator[Record | LeftOut]:
    for number, line in read_lines(path):
        where = f"{path.name}, line {number}"
        if isinstance(line, BadLine):
            yield LeftOut(where, line)
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield LeftOut(where, f"not JSON ({error})")
            continue
        if isinstance(fields, dict):
            yield Record(fields, where)
        else:
            yield LeftOut(where, f"must be an object, got {line[:40]!r}")


def _json(path: Path, key: str) -> Iterator[Record | LeftOut]:
    try:
        made = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        if b"\n{" in path.read_bytes():  # JSON lines, one of which has another encoding
            yield from _jsonl(path)
            return
        raise HeadAtlasError(f"{path}: not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines under another name, as NLVR has them
            yield from _jsonl(path)
            return
        raise HeadAtlasError(f"{path}: not JSON ({error})") from error
    except (ValueError, RecursionError) as error:
        raise HeadAtlasError(f"{path}: not JSON ({error})") from error
    if isinstance(made, dict):
        lists = [made[name] for name in (key, "data", "questions", "annotations") if isinstance(made.get(name), list)]
        made = lists[0] if lists else [made]
    for i, fields in enumerate(made if isinstance(made, list) else []):
        where = f"{path.name}, record {i}"
        yield (
            Record(fields, where)
            if isinstance(fields, dict)
            else LeftOut(where, f"must be an object, got {fields!r:.40}")
        )


def _separated(path: Path) -> Iterator[Record | LeftOut]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else _comma(first))
            for row in rows:
                where = f"{path.name}, line {rows.line_num}"
                if None in row or None in row.values():
                    yield LeftOut(where, f"must have {len(rows.fieldnames or ())} cells, as the header has")
                elif bad := next((name for name, cell in row.items() if _STRAY.search(cell)), None):
                    yield LeftOut(where, f"field {ascii(bad)[1:-1]}: not UTF-8")
                else:
                    yield Record(row, where)
    except csv.Error as error:
        raise HeadAtlasError(f"{path}: not a readable table ({error})") from error
    finally:
        csv.field_size_limit(before)


def _comma(header: str) -> str:
    """What separates the cells of a .csv: in some countries spreadsheets write semicolons, and then no comma is in the header."""
    return ";" if ";" in header and "," not in header else ","


def _parquet(path: Path) -> Iterator[Record | LeftOut]:
    file = open_parquet(path)
    schema = file.schema_arrow
    pictured = [field.name for field in schema if _is_image(field.type)]
    plain = [field.name for field in schema if field.name not in pictured]
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=plain).to_pylist()
        count = file.metadata.row_group(group).num_rows
        for i in range(count):
            fields = dict(rows[i]) if plain else {}
            for name in pictured:
                fields[name] = Picture(f"{path.name}#{group}.{i}.{name}", read=_cell(path, group, i, name))
            yield Record(fields, f"{path.name}, row {group}.{i}")


def _workbook(path: Path) -> Iterator[Record | LeftOut]:
    """The rows of a workbook's first sheet, whose first row names the columns."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise HeadAtlasError(
            f"{path}: reading .xlsx needs openpyxl: install it with pip install 'headatlas[xlsx]', or save the table as .csv"
        ) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError) as error:
        raise HeadAtlasError(f"{path}: not a readable workbook ({' '.join(str(error).split()):.100})") from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True) if book.worksheets else iter(())
        names = ["" if name is None else str(name).strip() for name in next(rows, ())]
        for number, row in enumerate(rows, 2):
            fields = {name: value for name, value in zip(names, row, strict=False) if name and value is not None}
            if fields:
                yield Record(fields, f"{path.name}, row {number}")
    finally:
        book.close()


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return pa.types.is_struct(kind) and {field.name for field in kind} >= {"bytes"}


def _cell(path: Path, group: int, row: int, column: str) -> Callable[[], bytes]:
    def read() -> bytes:
        value = _column(path, group, column)[row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        return data or b""

    return read


@lru_cache(maxsize=4)
def _column(path: Path, group: int, column: str) -> pa.ChunkedArray:
    return open_parquet(path).read_row_group(group, columns=[column]).column(column)


class Spool:
    """A temporary file for images that a table holds as base64 text, so that they do not stay in memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="headatlas-")  # noqa: SIM115  (open as long as its pictures are)
        self._size = 0
        weakref.finalize(self, self._file.close)

    def picture(self, name: str, text: str) -> Picture:
        """The picture in base64 text or a data URL; raises `Unusable` if the text is not base64."""
        try:
            data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unusable(f"field image: must be base64, got {text[:30]!r}") from error
        start, self._size = self._size, self._size + len(data)
        self._file.seek(start)
        self._file.write(data)

        def read() -> bytes:
            self._file.seek(start)
            return self._file.read(len(data))

        return Picture(name, read=read)
