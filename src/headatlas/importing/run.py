"""Import an outside dataset: choose questions, get their images, assign splits, and write the dataset with a report.

The report lists what was left out and why: records that give no question, and images that are missing or broken.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError

from headatlas.cogvsr import files
from headatlas.cogvsr.enough import shares_of
from headatlas.cogvsr.functions import TASK
from headatlas.cogvsr.schema import Question, Split
from headatlas.cogvsr.validate import fault_of
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import WHOLE
from headatlas.importing.deal import components, deal, in_turn
from headatlas.importing.download import Downloads
from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.fetch import Found, Missing, Pictures
from headatlas.importing.origin import Origin, cache_folder, open_origin
from headatlas.importing.registry import IMPORTERS
from headatlas.pictures import stored_upright
from headatlas.printing import brief
from headatlas.progress import Progress
from headatlas.storage import beside, locked


@dataclass
class Report:
    """What an import did; written beside the dataset `NAME` as `NAME.import.json`."""

    importer: str
    title: str
    source: str
    licence: str
    shareable: bool
    seed: int
    asked_for: int | None
    read: int = 0
    """Questions made of the records."""
    questions: int = 0
    decomposed: int = 0
    """Questions with derived or given steps; the others have one step, to be decomposed."""
    steps: str = "one"
    """As `Importer.steps`."""
    splits: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    """Number of components (questions connected by a shared image or group), each of which is in one split."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Records that gave no question."""
    missing: list[LeftOut] = field(default_factory=list)
    """Questions whose images are missing or broken."""

    __repr__ = brief


def import_dataset(
    name: str,
    source: str | Path,
    out: str | Path,
    n: int | None = 400,
    seed: int = 0,
    splits: Sequence[str] = ("P", "S", "T", "E"),
    images: Sequence[str | Path] = (),
    download: bool = True,
    cache: str | Path | None = None,
    sha256: str = "",
    progress: Progress | None = None,
) -> Report:
    """Import `n` questions of an outside dataset into the Parquet folder `out`, which `cogvsr.load(out)` opens.

    Args:
        name: name of an importer, such as "vsr"; `IMPORTERS` has all.
        source: a folder or file, the URL of a table, or a Hugging Face dataset id.
        out: folder to write; a dataset that exists there is replaced when the new one is complete.
        n: number of questions; fewer if the set has fewer usable ones, None for all. A second question of the same image or
            group is chosen only after one of every other.
        seed: with the same seed and files, the choice and the splits are the same.
        splits: splits to fill, out of P, S, T and E, by their usual shares (35, 15, 10, 40 %).
        images: more folders in which images are looked for.
        download: whether images that no folder has are downloaded from the addresses in the records.
        cache: folder for downloads; `$HEADATLAS_CACHE` or `~/.cache/headatlas` if None.
        sha256: SHA-256 that the table must have if `source` is its URL.
        progress: see `headatlas.progress`.

    Returns:
        The report, which is also written beside `out`.

    Raises:
        HeadAtlasError: unknown importer or split, nothing readable at `source`, no usable question, or `out` not writable.
    """
    shares = shares_of(splits)
    if n is not None and n < 1:
        raise HeadAtlasError(f"n must be at least 1, got {n}")
    chosen = IMPORTERS[name]
    store = Path(cache) if cache else cache_folder()
    with locked(
        Path(out), "the dataset"
    ):  # locked from the start, so that two imports do not download the same files twice
        origin = open_origin(source, store, chosen.files, sha256, seed)
        report = Report(name, chosen.title, str(source), chosen.licence, chosen.shareable, seed, n, steps=chosen.steps)
        drafts = read_drafts(chosen.read(origin), name, report)
        with Downloads(store) as downloads:
            pictures = Pictures(_roots(images, origin), downloads if download else None)
            kept = with_images(drafts, n, seed, pictures, report, progress)
        write_drafts(kept, report, shares, Path(out))
    return report


def _roots(images: Sequence[str | Path], origin: Origin) -> list[Path]:
    """The folders in which images are looked for."""
    roots = [*(Path(folder).expanduser() for folder in images), origin.root]
    if origin.file and (folder := origin.root.parent / "images").is_dir():  # next to questions/
        roots.append(folder)
    for root in roots:
        if not root.is_dir():
            raise HeadAtlasError(f"{root}: must be a folder with images")
    return roots


def write_drafts(
    kept: Sequence[tuple[Draft, list[Found]]], report: Report, shares: Mapping[Split, float], out: Path
) -> None:
    """Deal the questions to splits, and write them to the folder `out` and the report beside it.

    Raises:
        HeadAtlasError: there are no questions, the splits that some name contradict each other, or `out` is not writable.
    """
    if not kept:
        why = (report.missing or report.left_out or [LeftOut("", "no records")])[0]
        hint = "; --images names the folder of its images" if report.missing else ""
        n = max(report.read, len(report.left_out) + len(report.missing))
        raise HeadAtlasError(f"{report.source}: none of {n} questions can be used; the first: {why}{hint}")
    parts = components(
        {d.key: [("group", d.group) if d.group else d.key, *(f.digest for f in found)] for d, found in kept}
    )
    split_of = _splits(kept, parts, shares, report.seed)
    report.groups = len(set(parts.values()))
    report.questions = len(kept)
    report.decomposed = sum(any(step.kind not in (WHOLE, TASK) for step in d.steps) for d, _ in kept)
    counts = Counter(split_of.values())
    report.splits = {**dict.fromkeys(shares, 0), **counts}
    # Removed first, so that an interrupted import does not leave the report of an earlier one.
    report_path(out).unlink(missing_ok=True)
    files.write(_rows(kept, report.importer, parts, split_of, list(report.splits)), out)
    _write_report(report, out)


def _splits(
    kept: Sequence[tuple[Draft, list[Found]]], parts: Mapping[str, str], shares: Mapping[Split, float], seed: int
) -> dict[str, Split]:
    """The split of each key: as its record says, or as another record of the same picture says; the others are dealt."""
    named: dict[str, Draft] = {}
    for draft, _ in kept:
        first = named.setdefault(parts[draft.key], draft) if draft.split else draft
        if first.split != draft.split:
            raise HeadAtlasError(
                f"{first.id or first.key!r} and {draft.id or draft.key!r} share a picture or a group, so they must be in one "
                f"split, got {first.split} and {draft.split}; give them the same split, or leave splits out to have them dealt"
            )
    dealt = deal({key: part for key, part in parts.items() if part not in named}, shares, seed)
    return {key: dealt[key] if part not in named else named[part].split or "E" for key, part in parts.items()}


def read_drafts(found: Iterable[Draft | LeftOut], source: str, report: Report) -> list[Draft]:
    """The drafts that can be stored; the others are listed in the report."""
    drafts: dict[str, Draft] = {}
    for made in found:
        if isinstance(made, LeftOut):
            report.left_out.append(made)
        elif made.key in drafts:
            report.left_out.append(LeftOut(made.key, "another record has the same key"))
        elif fault := _fault(made, source):
            report.left_out.append(LeftOut(made.key, fault))
        else:
            drafts[made.key] = made
    report.read = len(drafts)
    return list(drafts.values())


def with_images(
    drafts: Sequence[Draft], n: int | None, seed: int, pictures: Pictures, report: Report, progress: Progress | None
) -> list[tuple[Draft, list[Found]]]:
    """The first `n` drafts (None: all) whose images can all be read; the others are listed in the report."""
    kept: list[tuple[Draft, list[Found]]] = []
    waiting: Iterator[Draft] = in_turn(drafts, seed)
    goal = len(drafts) if n is None else min(n, len(drafts))
    while len(kept) < goal and (batch := list(islice(waiting, min(64, goal - len(kept))))):
        got = pictures.get([picture for draft in batch for picture in draft.pictures])
        for draft in batch:
            found = [got[picture] for picture in draft.pictures]
            faults = [one for one in found if isinstance(one, Missing)]
            if faults:
                report.missing.append(LeftOut(draft.key, str(faults[0])))
            else:
                kept.append((draft, [one for one in found if isinstance(one, Found)]))
        if progress:
            progress("images", len(kept), goal)
    return kept


def _rows(
    kept: Sequence[tuple[Draft, list[Found]]],
    source: str,
    parts: Mapping[str, str],
    split_of: Mapping[str, Split],
    order: Sequence[str],
) -> Iterator[dict[str, Any]]:
    for draft, found in sorted(kept, key=lambda pair: order.index(split_of[pair[0].key])):
        question = _question(draft, source, split_of[draft.key], f"{source}-{parts[draft.key]}")
        stored = [stored_upright(one.read()) for one in found]
        if stored and stored[0][1] != 1:  # boxes refer to the stored pixels of the first image
            question = question.turned(stored[0][1])
        images = [{"bytes": data, "path": None} for data, _ in stored]
        yield {**question.model_dump(exclude={"images"}), "images": images}


def _question(draft: Draft, source: str, split: Split, scene: str) -> Question:
    return Question(
        id=draft.id or f"{source}-{draft.key}",
        source=source,
        split=split,
        family=draft.family,
        scene=scene,
        text=draft.text,
        options=draft.options,
        answer=draft.answer,
        answer_type=draft.answer_type,
        steps=draft.steps,
        objects=draft.objects,
    )


def _fault(draft: Draft, source: str) -> str | None:
    """Why a draft cannot be stored as a question, or None."""
    if not draft.steps:
        return "its layout does not give a chain of three to nine steps"
    try:
        question = _question(draft, source, "E", "")
        question.model_dump_json().encode()
    except (HeadAtlasError, PydanticSerializationError, UnicodeError) as error:
        return f"not a question ({' '.join(str(error).split())[:120]})"
    return fault_of(question)


def _write_report(report: Report, out: Path) -> None:
    path = report_path(out)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def report_path(out: Path) -> Path:
    """The file of the report on the dataset `out`. It lies beside the folder, which holds nothing but the dataset."""
    return beside(out, ".import.json")
