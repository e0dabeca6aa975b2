"""Question types on regions: inside a drawn frame, and counting in a half or in the frame."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headatlas.scenes.question_types.base import (
    Case,
    Chain,
    QuestionType,
    about,
    by_name,
    opposite,
    register,
    side_of,
    yes_no,
)
from headatlas.scenes.world import CELLS, COLORS, Scene, Thing

_HALVES = {
    "left": lambda t: t.column <= CELLS // 2,
    "right": lambda t: t.column > CELLS // 2,
    "top": lambda t: t.row <= CELLS // 2,
    "bottom": lambda t: t.row > CELLS // 2,
}
_FRAME = "inside the frame"


# -- inside ------------------------------------------------------------------------------------------------------------


def _inside_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    if scene.region:
        for thing in rng.sample(scene.things, len(scene.things)):
            yield Case(thing.name)


def _inside(scene: Scene, name: str) -> bool:
    thing = by_name(scene, name)
    assert scene.region is not None
    return scene.region.holds(thing.row, thing.column)


def _half_steps(chain: Chain, name: str, sides: tuple[str, str]) -> None:
    half = next(side for side in sides if _HALVES[side](by_name(chain.scene, name)))
    chain.add("half_of", half, options=sides, a=name, side0=sides[0], side1=sides[1])


def _inside_steps(chain: Chain, case: Case) -> None:
    chain.read(case, chance=0.7)
    chain.recall(about(case.a), opposite(), chance=0.6)
    chain.look(case.a)
    other = chain.rng.choice([t.name for t in chain.scene.things if t.name != case.a])
    axis = chain.rng.choice(("row", "column"))
    if side_of(by_name(chain.scene, case.a), by_name(chain.scene, other), axis) and chain.rng.random() < 0.5:
        chain.side(case.a, other, axis)
    elif chain.rng.random() < 0.4:
        _half_steps(chain, case.a, chain.rng.choice((("left", "right"), ("top", "bottom"))))
    chain.add("in_frame", yes_no(_inside(chain.scene, case.a)), a=case.a)


register(
    QuestionType(
        "inside_region",
        lambda _: "yes_no",
        _inside_cases,
        lambda scene, case: yes_no(_inside(scene, case.a)),
        lambda _: ("yes", "no"),
        _inside_steps,
    )
)


# -- counting ----------------------------------------------------------------------------------------------------------


def _count_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    where = [f"in the {side} half" for side in _HALVES] + ([_FRAME] * 2 if scene.region else [])
    what = ["things"] * 3 + [f"{color} things" for color in COLORS]
    found = [(w, p) for w in what for p in where]
    rng.shuffle(found)
    for w, place in found:
        yield Case("", variant="count_in", slots={"what": w, "where": place})


def _counted(scene: Scene, case: Case) -> list[Thing]:
    what, where = case.slots["what"].split(), case.slots["where"]
    things = [t for t in scene.things if len(what) == 1 or t.color == what[0]]
    if where == _FRAME:
        assert scene.region is not None
        return [t for t in things if scene.region.holds(t.row, t.column)]
    return [t for t in things if _HALVES[where.split()[2]](t)]


def _count_steps(chain: Chain, case: Case) -> None:
    what, where = case.slots["what"], case.slots["where"]
    counted = _counted(chain.scene, case)
    color = what.split()[0] if " " in what else ""
    if color and chain.rng.random() < 0.6:
        chain.add("asked_color", color, options=COLORS, optional=True)
    chain.recall(opposite("" if where == _FRAME else where.split()[2]))
    shown = [t.name for t in chain.scene.things if not color or t.color == color]
    if shown:
        chain.look(*shown)
        if where == _FRAME:
            name = chain.rng.choice(shown)
            chain.add("in_frame", yes_no(_inside(chain.scene, name)), a=name)
        elif chain.rng.random() < 0.3:
            sides = ("left", "right") if where.split()[2] in ("left", "right") else ("top", "bottom")
            _half_steps(chain, chain.rng.choice(shown), sides)
    if where == _FRAME:
        chain.add("count_in", str(len(counted)), what=what, where=where)
        return
    side = where.split()[2]
    for other in ("top", "bottom") if side in ("left", "right") else ("left", "right"):
        part = f"in the {other} {side} part" if other in ("top", "bottom") else f"in the {side} {other} part"
        chain.add("count_in", str(sum(_HALVES[other](t) for t in counted)), what=what, where=part)
    chain.add("in_total", str(len(counted)))


register(
    QuestionType(
        "count_region",
        lambda _: "number",
        _count_cases,
        lambda scene, case: str(len(_counted(scene, case))),
        lambda _: ("0", "1", "2", "3"),
        _count_steps,
    )
)
