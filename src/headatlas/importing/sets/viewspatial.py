"""ViewSpatial-Bench: directions from the camera's and from a person's point of view, in COCO and ScanNet pictures.

Input: the authors' JSON list (`image_path` (a list), `choices` (lines "A. left"), `answer` "C. front-right", `question_type`).
Tested on 300 real records.

Source: Li et al. 2025, arXiv 2505.21500, https://github.com/ZJU-REAL/ViewSpatial-Bench.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single


@importer(
    "viewspatial",
    title="ViewSpatial-Bench",
    home="https://github.com/ZJU-REAL/ViewSpatial-Bench",
    licence="Apache-2.0 (questions); images: COCO and ScanNet, their terms",
    shareable=False,
    tested_on="real files",
)
def viewspatial(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record; the question type is its `question_type`."""
    return each(origin, _draft, "ViewSpatial*.json", "*.json", "*.jsonl")


def _draft(record: Record) -> Draft:
    text, kind = record.text("question"), record.text("question_type", default="")
    question = asked(f"{text}\n{record.text('choices')}", record.text("answer"))
    names = [str(path) for path in record.items_of("image_path")]
    functions = (SPATIAL,) if "Orientation" in kind else (RELATION, SPATIAL)
    key = f"{mark('|'.join(names))}-{mark(kind + text + question.text)}"
    return single(key, question, [Picture(name) for name in names], functions, family=kind)
