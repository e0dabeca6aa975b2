"""ShapeWorld, spatial captions: a few coloured shapes on black, and captions that are true or false of them.

Input: a generated folder (`world_model.json`, `caption_model.json`, `caption.txt` with a blank line after each picture,
`agreement.txt`, `world-<i>.png`). Steps are derived from the world model (centres, boxes, colours, shapes). Every caption is
evaluated on it; a caption whose result differs from the set's own agreement is listed as left out.

Tested on real files (relational-spatial_twoshapes).

Source: Kuhnle, Copestake 2017, arXiv 1704.04517, https://github.com/AlexKuhnle/ShapeWorld.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import HIGH, LOW, MATH, RELATION, SPATIAL, TEXT, Chain
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.importing.origin import Origin
from headatlas.importing.records import read_json
from headatlas.importing.registry import importer
from headatlas.importing.single import statement

_WORDS = {("x-rel", -1): "left", ("x-rel", 1): "right", ("y-rel", -1): "above", ("y-rel", 1): "below"}
_CLEAR = 0.04
"""Centres closer than this share of the picture's side are not compared in a step."""


@importer(
    "shapeworld",
    title="ShapeWorld, spatial captions",
    home="https://github.com/AlexKuhnle/ShapeWorld",
    licence="MIT",
    shareable=True,
    steps="derived",
    tested_on="real files",
    files=("*.json", "*.txt", "*.png", "*.bmp"),
)
def shapeworld(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One yes/no question per caption; the question type is the relation it claims."""
    for path in origin.need("world_model.json"):
        folder = path.parent
        worlds, models = read_json(path), read_json(folder / "caption_model.json")
        captions = _blocks(folder / "caption.txt")
        labels = [line.split(";") for line in _lines(folder / "agreement.txt") if line]
        if not len(worlds) == len(models) == len(captions) == len(labels):
            sizes = f"{len(worlds)} worlds, {len(models)} models, {len(captions)} captions, {len(labels)} agreements"
            raise HeadAtlasError(f"{folder}: every file must have one entry per picture, got {sizes}")
        for i, world in enumerate(worlds):
            name = next((n for n in (f"world-{i}.png", f"world-{i}.bmp") if (folder / n).is_file()), f"world-{i}.png")
            picture = Picture((folder / name).relative_to(origin.root).as_posix())
            for j, (model, caption, label) in enumerate(zip(models[i], captions[i], labels[i], strict=False)):
                key = f"{folder.name}-{i}-{j}"
                try:
                    yield _draft(key, world["entities"], model, caption, label, picture)
                except ODD as error:
                    yield left_out(key, error)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HeadAtlasError(f"{path}: cannot be read ({error})") from error


def _blocks(path: Path) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in _lines(path):
        if line.strip():
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _draft(key: str, things: list[dict], model: dict, caption: str, label: str, picture: Picture) -> Draft:
    body = model["body"]
    word = _WORDS.get((body.get("predtype"), body.get("value")))
    if model.get("component") != "Existential" or body.get("component") != "Relation" or word is None:
        raise Unusable(f"a caption must say left, right, above or below, got {caption[:60]!r}")
    if label not in ("0.0", "1.0"):
        raise Unusable(f"the set's agreement must be 0 or 1, got {label}")
    first, second = model["restrictor"]["value"], body["reference"]["value"]
    if _holds(things, first, second, word) != (label == "1.0"):
        raise Unusable(f"the world model and the set's agreement differ on {caption[:60]!r}")
    answer = "yes" if label == "1.0" else "no"
    text = statement(caption.removesuffix(" .").capitalize() + ".")
    steps = _steps(things, first, second, word).end(answer, "yes_no")
    objects = tuple(_objects(things))
    return Draft(key, text, answer, "yes_no", steps, (picture,), (), word, "", objects)


def _fits(thing: dict, wanted: list[dict]) -> bool:
    return all(thing[one["predtype"]]["name"] == one["value"] for one in wanted)


def _axis(word: str) -> str:
    return "x" if word in ("left", "right") else "y"


def _at(thing: dict, word: str) -> float:
    return float(thing["center"][_axis(word)])


def _holds(things: list[dict], first: list[dict], second: list[dict], word: str) -> bool:
    sign = -1 if word in ("left", "above") else 1
    return any(
        a is not b and _fits(a, first) and _fits(b, second) and sign * (_at(a, word) - _at(b, word)) > 0
        for a in things
        for b in things
    )


def _name(wanted: list[dict]) -> str:
    color = next((one["value"] for one in wanted if one["predtype"] == "color"), "")
    shape = next((one["value"] for one in wanted if one["predtype"] == "shape"), "shape")
    return f"{color} {shape}".strip()


def _full(thing: dict) -> str:
    return f"{thing['color']['name']} {thing['shape']['name']}"


def _plural(name: str) -> str:
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _steps(things: list[dict], first: list[dict], second: list[dict], word: str) -> Chain:
    chain = Chain()
    options = ("left", "right", "above", "below")
    text = "Which relation does the statement claim: left, right, above or below?"
    chain.ask(text, word, TEXT, kind="relation_claimed", options=options)
    chain.ask("How many shapes are in the picture?", len(things), MATH, HIGH, kind="count_all", optional=True)
    for wanted in (first, second):
        count = sum(_fits(thing, wanted) for thing in things)
        colored = any(one["predtype"] == "color" for one in wanted)
        text = f"How many {_plural(_name(wanted))} are there?"
        chain.ask(text, count, MATH, LOW if colored else HIGH, kind="count", boxes=_boxes(things, wanted))
    halves = ("left", "right") if _axis(word) == "x" else ("upper", "lower")
    for thing in things:
        name = _full(thing)
        middle = abs(_at(thing, word) - 0.5)
        if sum(_full(other) == name for other in things) == 1 and middle > _CLEAR:
            half = halves[_at(thing, word) > 0.5]
            text = f"Is the {name} in the {halves[0]} or the {halves[1]} half of the picture?"
            named = _fits(thing, first) or _fits(thing, second)
            chain.ask(text, half, SPATIAL, kind="half", options=halves, boxes=[_box(thing)], optional=not named)
    if (
        len(things) == 2
        and abs(_at(things[0], word) - _at(things[1], word)) > _CLEAR
        and _full(things[0]) != _full(things[1])
    ):
        a, b = sorted(things, key=lambda t: _at(t, word))
        end, farthest = ("farther left", a) if _axis(word) == "x" else ("higher", a)
        names = (_full(things[0]), _full(things[1]))
        text = f"Which lies {end}, the {names[0]} or the {names[1]}?"
        chain.ask(text, _full(farthest), RELATION, kind="which_end", options=names, boxes=[_box(a), _box(b)])
        text = f"What shape is the one that lies {end}?"
        chain.ask(text, farthest["shape"]["name"], HIGH, RELATION, kind="shape_of_end", optional=True)
    return chain


def _box(thing: dict[str, Any]) -> Box:
    corners = thing["bounding_box"]
    x0, y0 = (min(0.999, max(0.0, float(corners["topleft"][axis]))) for axis in "xy")
    x1, y1 = (min(1.0, max(0.001, float(corners["bottomright"][axis]))) for axis in "xy")
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def _boxes(things: list[dict], wanted: list[dict]) -> list[Box]:
    return [_box(thing) for thing in things if _fits(thing, wanted)]


def _objects(things: list[dict]) -> Iterator[SceneObject]:
    for number, thing in enumerate(things):
        color, shape = thing["color"]["name"], thing["shape"]["name"]
        yield SceneObject(id=number, cls=shape, color=color, texture=thing["texture"]["name"], box=_box(thing))
