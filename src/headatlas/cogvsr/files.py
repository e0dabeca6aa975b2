"""Open datasets in files (Parquet folders, JSON lines, Hugging Face datasets) as checked tables, and write them as Parquet.

A table has the columns of `rows.FEATURES` (optional ones may be missing). Its images are read when they are asked for.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from headatlas.cogvsr import rows
from headatlas.cogvsr.lines import BadLine, decode, read_lines
from headatlas.cogvsr.parquet import open_parquet, reading, writer
from headatlas.cogvsr.table import ArrowTable, ParquetTable, Table
from headatlas.errors import HeadAtlasError
from headatlas.pictures import fault_of_name, inside, read_image, stored_upright
from headatlas.storage import replacing

_GROUP, _SHARD = 16, 1024
"""Questions in memory while writing (a Parquet row group), and questions in one file."""

_GROUP_BYTES = 128 * 2**20
"""Largest row group in bytes that is read in place; larger ones are mapped from a copy in the cache of `datasets`."""


def open_path(path: Path) -> Table:
    """Open a folder with Parquet files, one Parquet file, or a `.jsonl` file."""
    if path.suffix == ".jsonl" and not path.is_dir():
        return _from_jsonl(path)
    if (path / "run.json").is_file():
        raise HeadAtlasError(
            f"{path} must be a dataset, got the run directory of a study; its questions are in {path / 'data'}"
        )
    files = parquet_files(path)
    if not files:
        raise HeadAtlasError(
            f"{path} must hold Parquet files (*.parquet) or be a .jsonl file; found none; {_own(path)}"
        )
    if missing := missing_file(path, files):
        raise HeadAtlasError(f"{path}: {missing}")
    schemas, largest = set(), 0
    for file in files:
        opened = open_parquet(file)
        with reading(str(file)), opened:
            meta = opened.metadata
            schemas.add(str(opened.schema_arrow.remove_metadata()))
            largest = max(largest, *(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)), 0)
    with reading(str(path)):
        if len(schemas) == 1 and largest <= _GROUP_BYTES:
            return checked(_whole(ParquetTable(files)), path.name)
        with _quiet():
            parts = datasets.load_dataset("parquet", data_files=[str(f) for f in files], split="train")
        return checked(_whole(ArrowTable(parts)), path.name)


def _own(path: Path) -> str:
    """What to do with questions that are not in CogVSR's form."""
    return f"own questions become a dataset with: headatlas data from {shlex.quote(str(path))} --out DIR"


def missing_file(path: Path, files: Sequence[Path]) -> str | None:
    """What to say of a folder that has lost one of the files that `write` makes, numbered from 0; None if it has not."""
    names = {file.name for file in files if re.fullmatch(r"questions-\d{5}\.parquet", file.name)}
    for i in range(len(names)) if path.is_dir() else ():
        if f"questions-{i:05d}.parquet" not in names:
            return f"questions-{i:05d}.parquet is missing; copy the folder again, or make it anew"
    return None


def in_memory(files: Sequence[Path]) -> Table:
    """Read Parquet files into memory, a row group's worth at a time: read at once they take three times their size."""
    tables = [
        pa.Table.from_batches(file.iter_batches(batch_size=_GROUP, use_threads=False), file.schema_arrow)
        for file in map(open_parquet, files)
    ]
    # Without a fingerprint `datasets` pickles the whole table to make one.
    return ArrowTable(datasets.Dataset(pa.concat_tables(tables, promote_options="default"), fingerprint=uuid4().hex))


def _from_jsonl(path: Path) -> Table:
    """One question a line; `images` are paths relative to the file."""
    found: list[dict[str, Any]] = []
    try:
        for number, line in read_lines(path):
            try:
                if isinstance(line, BadLine):
                    raise ValueError(line)
                record, twice = decode(line)
                if twice:
                    raise ValueError(f"the key {twice[0][:60]!r} stands twice in one object")
            except HeadAtlasError:
                raise
            except ValueError as error:
                raise HeadAtlasError(f"{path}, line {number}: {error}") from error
            found.append(_json_row(path, number, record, line))
    except OSError as error:
        raise HeadAtlasError(f"{path} cannot be read ({error.strerror or error})") from error
    return checked(ArrowTable(datasets.Dataset(rows.to_table(found))), path.name)


def _json_row(path: Path, number: int, record: Any, line: str) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise HeadAtlasError(f"{path}, line {number}: must be an object with a question's fields, got {line[:40]!r}")
    if "steps" not in record:
        has = rows.printable(", ".join(record)[:200])
        raise HeadAtlasError(f"{path}, line {number}: no field steps; it has {has}; {_own(path)}")
    images = record.pop("images", None) or []
    question = rows.to_question(record, f"line {number}", images=False)
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise HeadAtlasError(
            f"record {question.id[:80]!r}, field images: must be a list of paths, got {rows.short(images)}"
        )
    for image in images:
        if fault := fault_of_name(image):
            raise HeadAtlasError(f"record {question.id[:80]!r}, field images: {fault}")
    cells = [{"bytes": None, "path": _beside(path.parent, image, question.id)} for image in images]
    return {**question.model_dump(exclude={"images"}), "images": cells}


def _beside(folder: Path, image: str, question: str) -> str:
    """The path of an image named in a line; if it does not exist, opening it will report that."""
    if found := inside(folder, image):
        return str(found)
    with suppress(OSError):  # a name that is too long
        if (folder / image).is_symlink() or (folder / image).exists():
            raise HeadAtlasError(
                f"record {question[:80]!r}, field images: {image[:80]!r} is a link out of the dataset's folder, or no file"
            )
    return str((folder / image).absolute())


def _whole(table: Table) -> Table:
    """Return the table if it contains its images; a path in a downloaded file could name a private file of this machine."""
    if "images" not in table.column_names:
        return table
    leaf = "images.list.element.path"
    if isinstance(table, ParquetTable) and leaf in table.leaves:
        named = (_flat(piece.column("images")).field("path") for piece in table.pieces([leaf], 1024))
        if all(paths.null_count == len(paths) for paths in named):
            return table  # without reading every image once
    number = 0
    for piece in table.pieces(["images"], _GROUP):
        cells = _flat(piece.column("images"))
        if pa.types.is_struct(cells.type) and {field.name for field in cells.type} >= {"bytes", "path"}:
            data, path = cells.field("bytes"), cells.field("path")
            if data.null_count and (bad := pc.index(pc.and_(pc.is_null(data), pc.is_valid(path)), True).as_py()) >= 0:
                raise HeadAtlasError(
                    f"image {number + bad} of the table must be the image itself, got only the path "
                    f"{path[bad].as_py()!r:.80}; Parquet must hold its images, JSON lines may name files"
                )
        number += len(cells)
    return table


def _flat(images: pa.ChunkedArray) -> Any:
    """The cells of a column of images, or of lists of images, one after another."""
    chunk = images.combine_chunks()
    return chunk.flatten() if pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type) else chunk


def open_hub(name: str) -> Table:
    """Open a Hugging Face dataset, its own splits joined; the column `split` says which of P, S, T, E a row belongs to."""
    with _quiet():
        try:
            parts = datasets.load_dataset(name)
        except Exception as error:  # the hub client raises many kinds of errors; all mean the same to the user
            raise HeadAtlasError(
                f"no such path, and no Hugging Face dataset {name!r} could be loaded "
                f"({type(error).__name__}: {(str(error).splitlines() or [''])[0]})"
            ) from error
    parts = parts if isinstance(parts, dict) else {"": parts}
    return checked(_whole(ArrowTable(datasets.concatenate_datasets(list(parts.values())))), name)


def checked(table: Table, name: str) -> Table:
    """Check the columns, and every row but its images; return the table as it is."""
    missing = [column for column in rows.REQUIRED if column not in table.column_names]
    if missing:
        has = rows.printable(", ".join(table.column_names)[:200])
        raise HeadAtlasError(f"{name}: no column {', '.join(missing)}; it has {has}")
    if not len(table):
        raise HeadAtlasError(f"{name}: the dataset is empty; it must have at least one question")
    for _ in rows.iter_questions(records(table, images=False), images=False):
        pass
    return table


def records(table: Table, images: bool = True) -> Iterator[Mapping[str, Any]]:
    """The rows of a table as mappings, a few in memory at a time; images undecoded, or left out."""
    keep = [column for column in table.column_names if column in rows.FEATURES and (images or column != "images")]
    pieces = table.pieces(keep, _GROUP if not images else 4)
    while True:
        with reading("the dataset"):
            piece = next(pieces, None)
            if piece is None:
                return
            records = piece.to_pylist()
        yield from records


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a folder, sorted; of a file, itself."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []


def embedded(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the bytes of all its images, as they are stored: byte for byte, but upright."""
    cells: list[dict[str, Any]] = []
    for i, cell in enumerate(rows.image_cells(row)):
        data, path = cell.get("bytes"), cell.get("path")
        if not isinstance(data, bytes):
            try:
                data = read_image(Path(path if isinstance(path, str) else ""))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", "") or error
                raise HeadAtlasError(f"question {row['id']!r}: image {i} cannot be read ({why})") from error
        with suppress(HeadAtlasError):  # a broken picture is reported when it is decoded
            data, _ = stored_upright(data)
        cells.append({"bytes": data, "path": None})
    return {**row, "images": cells}


def write(made: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows into `path/questions-*.parquet`, atomically replacing an earlier dataset.

    Raises:
        HeadAtlasError: there are no rows, the folder holds other things, another process is writing it, or the disk refuses.
    """
    if path.exists() and (not path.is_dir() or any(not f.match("questions-*.parquet") for f in path.iterdir())):
        raise HeadAtlasError(f"{path} must be a new folder or one with an earlier dataset; it holds other things")
    iterator = iter(made)
    with replacing(path, "the dataset") as folder:
        group = list(itertools.islice(iterator, _GROUP))
        if not group:
            raise HeadAtlasError("the dataset is empty; it must have at least one question")
        for shard in itertools.count():
            if not group:
                break
            with writer(folder / f"questions-{shard:05d}.parquet", rows.FEATURES.arrow_schema) as parquet:
                written = 0
                while group and written < _SHARD:
                    parquet.write_table(rows.to_table(group).cast(parquet.schema))
                    written += len(group)
                    group = list(itertools.islice(iterator, _GROUP))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without `datasets`' own progress bars, which would mix with ours."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
