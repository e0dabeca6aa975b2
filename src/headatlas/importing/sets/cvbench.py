"""CV-Bench: counting, relation, depth and distance in photographs of ADE20K, COCO and Omni3D.

Input: Parquet or JSON lines with `idx`, `type` (2D or 3D), `task`, `question`, `choices`, `answer` ("(C)") and `image` or
`filename`. If both formats are there, only Parquet is read: they hold the same questions.

Written after the documented form (Hugging Face dataset `nyu-visionx/CV-Bench` and its card), because the authors' file was not
available. CV-Bench's records inside SpatialScore were tested on real files: use `spatialscore-cvbench`.

Source: Tong et al. 2024, arXiv 2406.16860.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import HIGH, MATH, RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single

_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "Count": (MATH, HIGH),
    "Relation": (RELATION, SPATIAL),
    "Depth": (SPATIAL, RELATION),
    "Distance": (RELATION, SPATIAL),
}


@importer(
    "cvbench",
    title="CV-Bench",
    home="https://huggingface.co/datasets/nyu-visionx/CV-Bench",
    licence="Apache-2.0 (as its card says); photographs: ADE20K, COCO, Omni3D, their terms",
    shareable=False,
)
def cvbench(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record; the question type is its `task`."""
    return each(origin, _draft, *origin.prefer("*.parquet", "*.jsonl", "*.json"))


def _draft(record: Record) -> Draft:
    text, task, image = record.text("question"), record.text("task", default=""), record.get("image")
    picture = image if isinstance(image, Picture) else Picture(record.text("filename", "image"))
    key = f"{record.text('type', default='')}{record.text('idx', default='')}-{mark(text + picture.name)}"
    question = asked(text, record.text("answer"), record.items_of("choices"))
    return single(key, question, [picture], _FUNCTIONS.get(task, (SPATIAL,)), family=task)
