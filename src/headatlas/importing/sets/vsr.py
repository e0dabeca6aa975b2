"""VSR, Visual Spatial Reasoning: captions of COCO photographs with 66 relations, each true or false.

Input: the authors' JSON lines (`image`, `image_link`, `caption`, `label` 0 or 1, `relation`) of the zero-shot or the random
split. Photographs are looked for under `train2017/`, `val2017/` or by name, and else downloaded from `image_link`.

Tested on the real files.

Source: Liu, Emerson, Collier 2023, arXiv 2205.00363, https://github.com/cambridgeltl/visual-spatial-reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from headatlas.importing.chain import RELATION, SPATIAL
from headatlas.importing.choices import Asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single, statement

_ORIENTATION = {"facing", "facing away from", "parallel to", "perpendicular to", "toward", "away from"}


@importer(
    "vsr",
    title="VSR (Visual Spatial Reasoning)",
    home="https://github.com/cambridgeltl/visual-spatial-reasoning",
    licence="Apache-2.0 (captions); photographs: COCO, their owners' licences",
    shareable=False,
    tested_on="real files",
    files=("*.jsonl",),
)
def vsr(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One yes/no question per caption."""
    return each(origin, _draft, "*.jsonl", "*.parquet", "*.json")


def _draft(record: Record) -> Draft:
    image, caption, relation = record.text("image"), record.text("caption"), record.text("relation", default="")
    label = record.get("label")
    if label not in (0, 1, "0", "1"):
        raise Unusable(f"field label: must be 0 or 1, got {label!r:.40}")
    url = record.text("image_link", default="")
    folder = PurePosixPath(urlsplit(url).path).parent.name
    name = f"{folder}/{image}" if folder and "/" not in image else image
    first = SPATIAL if relation in _ORIENTATION else RELATION
    second = RELATION if first == SPATIAL else SPATIAL
    question = Asked(statement(caption), "yes" if int(label) else "no", "yes_no")
    key = f"{PurePosixPath(image).stem}-{mark(caption)}"
    return single(key, question, [Picture(name, url)], (first, second), family=relation)
