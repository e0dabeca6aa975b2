"""NLVR v1: three grey boxes with coloured shapes, and a sentence that is true or false of them.

Input: the authors' JSON lines (`sentence`, `label` "true" or "false", `identifier`, `directory`, `structured_rep`) and the
pictures `dev-<identifier>-<0..5>.png`, which show the three boxes in the six orders of `itertools.permutations`. Steps are
derived from `structured_rep`: they look at what the sentence mentions, box by box, then count. The answer is the authors'
label; the sentences are free English and are not parsed. Records that share a sentence or a scene form one group.

Tested on the real files.

Source: Suhr, Lewis, Yeh, Artzi 2017, https://github.com/lil-lab/nlvr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, permutations
from typing import Any

from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.importing.chain import HIGH, LOW, MATH, RELATION, SPATIAL, TEXT, Chain
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import statement

_COLORS = {"Black": "black", "Yellow": "yellow", "#0099ff": "blue"}
_PLACES = ("left", "middle", "right")
_WIDTH, _HEIGHT, _PITCH = 400, 100, 150
_SIZES = {10: "small", 20: "medium", 30: "large"}


@importer(
    "nlvr",
    title="NLVR v1",
    home="https://github.com/lil-lab/nlvr",
    licence="CC-BY-4.0",
    shareable=True,
    steps="derived",
    tested_on="real files",
)
def nlvr(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One yes/no question per sentence and picture; the question type is `towers` or `scattered`."""
    return each(origin, _drafts, "train.json", "dev.json", "test.json", "test-p.json", "*.json", "*.jsonl")


def _drafts(record: Record) -> Iterator[Draft]:
    sentence, label = record.text("sentence"), record.text("label").lower()
    name, folder = record.text("identifier"), record.text("directory", default="")
    if label not in ("true", "false"):
        raise Unusable(f"field label: must be true or false, got {label!r:.40}")
    boxes = [[_thing(item) for item in box] for box in record.items_of("structured_rep")]
    if len(boxes) != 3:
        raise Unusable(f"field structured_rep: must have three boxes, got {len(boxes)}")
    part = re.match(r"[a-z]+", record.where.lower())
    split = part[0] if part and part[0] in ("train", "dev", "test") else "dev"
    for turn, order in enumerate(permutations(range(3))):
        shown = [boxes[i] for i in order]
        answer = "yes" if label == "true" else "no"
        picture = f"{split}-{name}-{turn}.png"
        yield Draft(
            key=f"{name}-{turn}",
            text=statement(sentence),
            answer=answer,
            answer_type="yes_no",
            steps=_steps(sentence, shown).end(
                answer, "yes_no", suffices=False
            ),  # free English: the steps may not suffice
            pictures=(Picture(f"images/{folder}/{picture}" if folder else picture),),
            family="towers" if _towers(shown) else "scattered",
            group=name.rsplit("-", 1)[0],
            objects=tuple(_objects(shown)),
        )


def _thing(item: Any) -> dict[str, Any]:
    try:
        x, y, size = float(item["x_loc"]), float(item["y_loc"]), float(item["size"])
        return {"x": x, "y": y, "size": size, "color": _COLORS[item["color"]], "shape": str(item["type"])}
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"field structured_rep: an item without {error}") from error


def _towers(boxes: list[list[dict]]) -> bool:
    """Whether every box holds one column of squares."""
    return all(t["shape"] == "square" and t["size"] == 20 and t["x"] == 40 for box in boxes for t in box)


def _steps(sentence: str, boxes: list[list[dict]]) -> Chain:
    chain, towers = Chain(), _towers(boxes)
    said = sentence.lower()
    colors = sorted((c for c in ("black", "blue", "yellow") if c in said), key=said.index)
    shapes = [s for s in ("square", "circle", "triangle") if s in said]
    if colors:
        noun = "colours" if len(colors) > 1 else "colour"
        chain.ask(f"Which {noun} does the statement name?", " and ".join(colors), TEXT, kind="colors_named")
    else:
        chain.ask("Does the statement name a colour?", False, TEXT, kind="colors_named")
    chain.ask("Does each box hold one tower of blocks?", towers, HIGH, SPATIAL, kind="towers")
    end = "lowest" if re.search(r"base|bottom", said) else "highest" if "top" in said else ""
    if towers and len(colors) >= 2 and re.search(r"\b(over|on|above|below|under)\b", said):
        _stacked(chain, boxes, colors, bool(re.search(r"\b(below|under)\b", said)))
    elif towers and end and colors:
        _ends(chain, boxes, colors[0], end)
    elif towers and not colors:
        for place, box in zip(_PLACES, boxes, strict=True):
            chain.ask(f"How many blocks has the {place} tower?", len(box), MATH, HIGH, kind="height")
        chain.ask(
            "How many blocks has the highest tower?", max(map(len, boxes)), MATH, kind="highest", needs_image=False
        )
    else:
        _counted(chain, boxes, colors[0] if len(colors) == 1 else "", shapes[0] if len(shapes) == 1 else "", towers)
    counts = [len(box) for box in boxes]
    if counts.count(max(counts)) == 1:
        place = _PLACES[counts.index(max(counts))]
        text = "Which box holds the most things, the left, the middle or the right one?"
        chain.ask(text, place, SPATIAL, MATH, kind="fullest", options=_PLACES, optional=True)
    return chain


def _stacked(chain: Chain, boxes: list[list[dict]], colors: list[str], below: bool) -> None:
    upper, lower = (colors[1], colors[0]) if below else (colors[0], colors[1])
    right = 0
    for place, box in zip(_PLACES, boxes, strict=True):
        column = [t["color"] for t in sorted(box, key=lambda t: t["y"])]
        holds = any(a == upper and b == lower for a, b in pairwise(column))
        text = f"Does a {upper} block lie right on a {lower} block in the {place} tower?"
        chain.ask(text, holds, RELATION, LOW, kind="stacked")
        right += holds
    chain.ask("In how many of the three towers is that so?", right, MATH, kind="how_many_boxes", needs_image=False)


def _ends(chain: Chain, boxes: list[list[dict]], color: str, end: str) -> None:
    found = []
    for place, box in zip(_PLACES, boxes, strict=True):
        block = (max if end == "lowest" else min)(box, key=lambda t: t["y"], default=None)
        if block is None:
            continue
        found.append(block["color"])
        chain.ask(
            f"What colour is the {end} block of the {place} tower?", block["color"], SPATIAL, LOW, kind=f"{end}_block"
        )
    text = f"How many of the three towers have a {color} block there?"
    chain.ask(text, found.count(color), MATH, kind="how_many_boxes", needs_image=False)


def _counted(chain: Chain, boxes: list[list[dict]], color: str, shape: str, towers: bool) -> None:
    noun = "blocks" if towers else f"{shape}s" if shape else "things"
    things = f"{color} {noun}".strip()
    counts = [sum(color in ("", t["color"]) and (towers or shape in ("", t["shape"])) for t in box) for box in boxes]
    functions = (MATH, LOW) if color else (MATH, HIGH)
    for place, count in zip(_PLACES, counts, strict=True):
        chain.ask(f"How many {things} are in the {place} box?", count, *functions, kind="count_in_box")
    chain.ask(f"How many {things} are there in all three boxes?", sum(counts), MATH, kind="sum", needs_image=False)


def _objects(boxes: list[list[dict]]) -> Iterator[SceneObject]:
    number = 0
    for column, box in enumerate(boxes):
        for t in box:
            left, top = column * _PITCH + t["x"], t["y"]
            edges = (left / _WIDTH, top / _HEIGHT, (left + t["size"]) / _WIDTH, (top + t["size"]) / _HEIGHT)
            x0, y0, x1, y1 = (min(1.0, max(0.0, edge)) for edge in edges)
            yield SceneObject(
                id=number,
                cls=t["shape"],
                color=t["color"],
                size=_SIZES.get(int(t["size"])),
                column=column + 1,
                box=Box(x0=x0, y0=y0, x1=x1, y1=y1),
            )
            number += 1
