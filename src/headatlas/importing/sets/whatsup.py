"""What'sUp: photographs of two things in one of four relations, and captions to choose from.

Input: the authors' JSON lists (`image_path`, `caption_options`). Their first caption is always the right one, so the options
are shuffled here, depending on the picture's name and the seed. The lists over COCO and Visual Genome (`[image id, right,
wrong]`) are read as documented.

Tested on real records of set A.

Source: Kamath, Hessel, Chang 2023, arXiv 2310.19785, https://github.com/amitakamath/whatsup_vlms.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from headatlas.importing.chain import HIGH, RELATION
from headatlas.importing.choices import asked
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, read_json
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single

_RELATIONS = ("left_of", "right_of", "in-front_of", "behind", "under", "on")
_TEXT = "Which of these says best what the picture shows?"


@importer(
    "whatsup",
    title="What'sUp",
    home="https://github.com/amitakamath/whatsup_vlms",
    licence="MIT",
    shareable=True,
    tested_on="real files",
)
def whatsup(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per picture. The question type is the relation, which is part of the picture's name."""

    for path in origin.need("controlled_*.json", "*_obj.json", "*.json"):
        made = read_json(path)
        for i, item in enumerate(made if isinstance(made, list) else [made]):
            where = f"{path.name}, record {i}"
            try:
                yield _draft(_photograph(path.name, item), where, origin.seed)
            except ODD as error:
                yield left_out(where, error)


def _photograph(table: str, item: Any) -> dict[str, Any]:
    """A record in the form of the controlled sets; those of COCO and Visual Genome are lists (image id, right, wrong, ...)."""
    if isinstance(item, list) and len(item) >= 3:
        name = f"vg_images/{item[0]}.jpg" if table.startswith("vg") else f"val2017/{str(item[0]).zfill(12)}.jpg"
        return {"image_path": name, "caption_options": item[1:]}
    if not isinstance(item, dict):
        raise Unusable(f"must be an object or [image id, right caption, wrong caption], got {item!r:.40}")
    return item


def _draft(item: dict[str, Any], where: str, seed: int) -> Draft:
    record = Record(item, where)
    name = record.text("image_path")
    captions = list(dict.fromkeys(str(caption).strip() for caption in record.items_of("caption_options")))
    if len(captions) < 2:
        raise Unusable(f"field caption_options: must have two or more captions, got {captions!r:.60}")
    right = captions[0]
    random.Random(f"whatsup/{seed}/{name}").shuffle(captions)
    stem = PurePosixPath(name).stem
    family = next((word for word in _RELATIONS if f"_{word}_" in stem), "photographs")
    url = f"http://images.cocodataset.org/{name}" if name.startswith("val2017/") else ""
    key = stem if family != "photographs" else f"{stem}-{mark(right)}"
    return single(key, asked(_TEXT, right, captions), [Picture(name, url)], (RELATION, HIGH), family=family)
