"""Spatial-MM: one or two things in photographs, from the camera's or a person's point of view.

Input: the authors' JSON lists (`image_name`, `question` with its options on lines "A. left", `answer` "B. right"; the multi-hop
list has answers in words).

Checked once on the authors' three lists, without their photographs: 500 of 502, 1,069 of 1,074 and 309 of 309 records were
imported; in the others the letter contradicts the words, or an option occurs twice. The tests use records of that form.

Source: Shiri et al. 2024, arXiv 2411.06048, https://github.com/FatemehShiri/Spatial-MM.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from headatlas.importing.chain import RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single


@importer(
    "spatialmm",
    title="Spatial-MM",
    home="https://github.com/FatemehShiri/Spatial-MM",
    licence="not stated",
    shareable=False,
)
def spatialmm(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record. The question type: whether one or two things are asked about, and the point of view."""
    return each(origin, _draft, "spatial_mm_*.json", "*.json", "*.jsonl")


def _draft(record: Record) -> Draft:
    name, text = record.text("image_name", "image"), record.text("question")
    two = bool(record.text("object2", default=""))
    camera = "perspective" not in text or "camera's perspective" in text
    family = f"{'two things' if two else 'one thing'}, from {'the camera' if camera else 'a person in it'}"
    functions = (RELATION, SPATIAL) if two else (SPATIAL,)
    question = asked(text, record.text("answer"))
    return single(f"{PurePosixPath(name).stem}-{mark(text)}", question, [Picture(name)], functions, family=family)
