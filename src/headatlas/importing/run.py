"""`import_dataset`: choose questions of an outside dataset, get their images, deal the splits, write the dataset and a report.

Knows the order of things; each step has its own module. What could not be used is in the report, with its reason: records
without an answer, images that are missing or broken, questions beyond `n`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from headatlas.cogvsr import files
from headatlas.cogvsr.pictures import stored_upright
from headatlas.cogvsr.schema import Question, Split
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import WHOLE
from headatlas.importing.deal import components, deal, in_turn
from headatlas.importing.download import Downloads
from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.fetch import Found, Missing, Pictures
from headatlas.importing.origin import cache_folder, open_origin
from headatlas.importing.registry import Importer, find_importer

Progress = Callable[[str, int, int], object]


@dataclass
class Report:
    """What an import did. Written beside the dataset as `<name>.import.json`."""

    importer: str
    title: str
    source: str
    licence: str
    shareable: bool
    seed: int
    asked_for: int
    read: int = 0
    """Records that questions could be made of."""
    questions: int = 0
    decomposed: int = 0
    """Questions with the steps that `steps` speaks of; the others are one step, to be decomposed."""
    steps: str = "one"
    """As `Importer.steps`."""
    splits: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    """Sets of questions that share an image or a group; none is cut by a split."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Records without a usable question."""
    missing: list[LeftOut] = field(default_factory=list)
    """Questions whose images are missing or broken."""


def import_dataset(
    name: str,
    source: str | Path,
    out: str | Path,
    n: int = 400,
    seed: int = 0,
    splits: Sequence[str] = ("P", "S", "T", "E"),
    images: Sequence[str | Path] = (),
    download: bool = True,
    cache: str | Path | None = None,
    sha256: str = "",
    progress: Progress | None = None,
) -> Report:
    """Import `n` questions of an outside dataset into the Parquet folder `out`; `cogvsr.load(out)` opens it.

    Args:
        name: an importer's name, such as "vsr"; `IMPORTERS` has all.
        source: a folder or file, a URL of a table, or a Hugging Face dataset id.
        out: folder to write; an earlier dataset there is replaced once the new one is whole.
        n: how many questions; fewer if the set has fewer usable ones. One of each image or group is taken before a second.
        seed: the same seed makes the same choice and splits from the same files.
        splits: which of P, S, T, E to deal to, by their usual shares (35, 15, 10, 40 %).
        images: more folders to look for images in.
        download: whether images that no folder has may be fetched from the addresses in the records.
        cache: folder for downloads; `$HEADATLAS_CACHE` or `~/.cache/headatlas` if None.
        sha256: expected of a table that `source` names by URL.
        progress: called as `progress(what, done, total)`.

    Returns:
        The report, which is also written beside `out`.

    Raises:
        HeadAtlasError: unknown importer or split, nothing readable at `source`, no usable question, or `out` not writable.
    """
    shares = _shares(splits)
    if n < 1:
        raise HeadAtlasError(f"expected n >= 1 questions, came {n}")
    chosen = find_importer(name)
    store = Path(cache) if cache else cache_folder()
    origin = open_origin(source, store, chosen.files, sha256, seed)
    report = Report(name, chosen.title, str(source), chosen.licence, chosen.shareable, seed, n, steps=chosen.steps)
    drafts = _read(chosen, origin, report)
    roots = [*(Path(folder).expanduser() for folder in images), origin.root]
    if origin.file and (beside := origin.root.parent / "images").is_dir():  # questions/ and images/, side by side
        roots.append(beside)
    for root in roots:
        if not root.is_dir():
            raise HeadAtlasError(f"{root}: expected a folder with images")
    with Downloads(store) as downloads:
        pictures = Pictures(roots, downloads if download else None)
        kept = _with_images(drafts, n, seed, pictures, report, progress)
    if not kept:
        why = (report.missing or report.left_out or [LeftOut("", "no records")])[0]
        hint = "; --images names the folder of its images" if report.missing else ""
        raise HeadAtlasError(f"{source}: none of {report.read} questions can be used; the first: {why}{hint}")
    parts = components(
        {d.key: [("group", d.group) if d.group else d.key, *(f.digest for f in found)] for d, found in kept}
    )
    split_of = deal(parts, shares, seed)
    report.groups = len(set(parts.values()))
    report.questions = len(kept)
    report.decomposed = sum(draft.steps[0].kind != WHOLE for draft, _ in kept)
    counts = Counter(split_of.values())
    report.splits = {split: counts[split] for split in shares}
    files.write(_rows(kept, chosen, parts, split_of, list(shares)), Path(out))
    _write_report(report, Path(out))
    return report


def _shares(splits: Sequence[str]) -> dict[Split, float]:
    from headatlas.scenes.build import SHARES  # where the study's shares are written down

    unknown = [split for split in splits if split not in SHARES]
    if unknown or not splits:
        came = repr(unknown[0]) if unknown else "none"
        raise HeadAtlasError(f"unknown split {came}: expected one or more of {', '.join(SHARES)}")
    return {split: share for split, share in SHARES.items() if split in splits}


def _read(chosen: Importer, origin: Any, report: Report) -> list[Draft]:
    drafts: dict[str, Draft] = {}
    for made in chosen.read(origin):
        if isinstance(made, LeftOut):
            report.left_out.append(made)
        elif made.key in drafts:
            report.left_out.append(LeftOut(made.key, "the same key comes twice"))
        elif fault := _fault(made, chosen.name):
            report.left_out.append(LeftOut(made.key, fault))
        else:
            drafts[made.key] = made
    report.read = len(drafts)
    return list(drafts.values())


def _with_images(
    drafts: Sequence[Draft], n: int, seed: int, pictures: Pictures, report: Report, progress: Progress | None
) -> list[tuple[Draft, list[Found]]]:
    """The first `n` drafts whose images are all there."""
    kept: list[tuple[Draft, list[Found]]] = []
    waiting: Iterator[Draft] = in_turn(drafts, seed)
    goal = min(n, len(drafts))
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
    chosen: Importer,
    parts: dict[str, str],
    split_of: dict[str, Split],
    order: Sequence[Split],
) -> Iterator[dict[str, Any]]:
    for draft, found in sorted(kept, key=lambda pair: order.index(split_of[pair[0].key])):
        question = _question(draft, chosen.name, split_of[draft.key], f"{chosen.name}-{parts[draft.key]}")
        stored = [stored_upright(one.read()) for one in found]
        if stored and stored[0][1] != 1:  # boxes lie in the first image, and in its pixels as they were stored
            question = question.turned(stored[0][1])
        images = [{"bytes": data, "path": None} for data, _ in stored]
        yield {**question.model_dump(exclude={"images"}), "images": images}


def _question(draft: Draft, source: str, split: Split, scene: str) -> Question:
    return Question(
        id=f"{source}-{draft.key}",
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
    """Why a draft is no question that can be stored, or None."""
    if not draft.steps:
        return "its layout gives no chain of three to nine steps"
    try:
        _question(draft, source, "E", "").model_dump_json().encode()
    except (ValidationError, PydanticSerializationError, UnicodeError) as error:
        return f"not a question ({' '.join(str(error).split())[:120]})"
    return None


def _write_report(report: Report, out: Path) -> None:
    path = report_path(out)
    path.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def report_path(out: Path) -> Path:
    """Where the report of the dataset `out` lies: beside it, because the folder holds the dataset alone."""
    return out.with_name(f"{out.name}.import.json")
