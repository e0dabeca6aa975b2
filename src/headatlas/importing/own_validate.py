"""List every fault in a file of own questions before it is imported: what `data from` would leave out, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headatlas.cogvsr import rows
from headatlas.cogvsr.files import parquet_files
from headatlas.cogvsr.validate import Checked, Fault
from headatlas.errors import HeadAtlasError
from headatlas.importing.fetch import Pictures
from headatlas.importing.origin import open_origin
from headatlas.importing.own import NAME
from headatlas.importing.own_files import own, own_tables
from headatlas.importing.records import Record, read_records
from headatlas.importing.run import Report, read_drafts, with_images

_OF_COGVSR = set(rows.REQUIRED) - {"answer", "text"}
"""Fields of a stored dataset that no row of own questions has all of."""


def is_own(path: Path) -> bool:
    """Whether a file or folder holds own questions, as `data from` reads them, instead of a dataset of CogVSR's schema."""
    if path.is_dir():
        if parquet_files(path) or not path.exists():
            return False
        try:
            tables = own_tables(open_origin(path))
        except HeadAtlasError:  # `validate_own` says what is wrong with the folder
            return True
    elif path.suffix.lower() in (".csv", ".tsv", ".json"):
        return path.is_file()
    elif path.suffix.lower() == ".jsonl" and path.is_file():
        tables = [path]
    else:
        return False
    try:
        first = next((row for row in read_records(tables[0]) if isinstance(row, Record)), None)
    except HeadAtlasError:
        return False
    return first is not None and not _OF_COGVSR & set(first)


def validate_own(path: Path, images: Sequence[Path], counted: Checked) -> Iterator[Fault]:
    """Yield the faults of own questions, with where they stand and what to write.

    Raises:
        HeadAtlasError: the file cannot be read, or only some questions name their functions.
    """
    origin = open_origin(path)
    report = Report(NAME, NAME, str(path), "", False, 0, None)
    drafts = read_drafts(own(origin), NAME, report)
    pictures = Pictures([*images, origin.root], None)
    kept = with_images(
        [draft for draft in drafts if not any(p.url for p in draft.pictures)], None, 0, pictures, report, None
    )
    counted.remote = sum(any(p.url for p in draft.pictures) for draft in drafts)
    counted.questions = len(kept) + counted.remote
    faults = [Fault(one.key, "", one.reason) for one in report.left_out]
    faults += [
        Fault(
            one.key,
            "image",
            f"{one.reason}; name the folder of the pictures with --images, or write a path relative to it",
        )
        for one in report.missing
    ]
    if not counted.questions and not faults:
        faults.append(
            Fault(
                str(path),
                "",
                'no question in it; write lines such as {"image": "a.jpg", "question": ..., "answer": ...}',
            )
        )
    counted.faults = len(faults)
    yield from faults
