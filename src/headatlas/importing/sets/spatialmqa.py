"""SpatialMQA: how things in COCO photographs lie to each other, with two to six relation phrases to choose from.

Input: JSON lines with `image`, `question`, `options` and `answer`. Tested on the authors' eight example records.

Source: Liu et al. 2025, arXiv 2505.20197, https://github.com/ziyan-xiaoyu/SpatialMQA.
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
    "spatialmqa",
    title="SpatialMQA",
    home="https://github.com/ziyan-xiaoyu/SpatialMQA",
    licence="Apache-2.0 (questions); photographs: COCO, their owners' licences",
    shareable=False,
    tested_on="real files",
)
def spatialmqa(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record. The question type is the point of view: the camera's or that of a person in the picture."""
    return each(origin, _draft, "*.jsonl", "*.json", "*.parquet")


def _draft(record: Record) -> Draft:
    image, text = record["image"] if isinstance(record.get("image"), Picture) else None, record.text("question")
    picture = image or Picture(record.text("image"))
    question = asked(text, record.text("answer"), record.items_of("options"))
    inside = text.lower().startswith(("if you ", "imagine you", "suppose you"))
    key = f"{PurePosixPath(picture.name).stem}-{mark(text)}"
    return single(key, question, [picture], (RELATION, SPATIAL), "from a person in it" if inside else "from the camera")
