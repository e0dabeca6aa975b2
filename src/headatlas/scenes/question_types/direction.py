"""Question types on facing: which way, the same way, toward, and a thing's own left and right."""

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
    pairs,
    register,
    side_of,
    yes_no,
)
from headatlas.scenes.world import DIRECTIONS, Scene, Thing

_AHEAD = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""(rows, columns) of one step ahead."""

_SIDE_WORD = {"up": "above", "right": "right", "down": "below", "left": "left"}
_SIDES = ("left", "right", "above", "below")


def _turned(facing: str, quarter: int) -> str:
    """The direction `quarter` quarter turns clockwise of `facing`."""
    return DIRECTIONS[(DIRECTIONS.index(facing) + quarter) % 4]


def _reach(a: Thing, b: Thing, direction: str) -> int:
    """Number of cells from `a` to `b` in a direction; negative if `b` lies behind."""
    rows, columns = _AHEAD[direction]
    return (b.row - a.row) * rows + (b.column - a.column) * columns


def _lines_steps(chain: Chain, case: Case, axis: str) -> None:
    """Ask where b and a are on an axis, and by chance which number is less."""
    for name in (case.b, case.a):
        chain.line(axis, name)
    first, second = (getattr(by_name(chain.scene, name), axis) for name in (case.b, case.a))
    if first != second and chain.rng.random() < 0.7:
        chain.add("is_less", yes_no(first < second), optional=True)


# -- facing ------------------------------------------------------------------------------------------------------------


def _facing_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for thing in rng.sample(scene.things, len(scene.things)):
        if thing.facing:
            yield Case(thing.name)


def _facing_steps(chain: Chain, case: Case) -> None:
    chain.read(case, chance=0.7)
    chain.recall(about(case.a), opposite(), chance=0.6)
    chain.look(case.a)
    chain.facing(case.a)
    other = chain.rng.choice([t for t in chain.scene.things if t.name != case.a])
    ahead = _solve_toward(chain.scene, Case(case.a, other.name))
    if ahead and chain.rng.random() < 0.5:
        chain.add("ahead", ahead, optional=True, a=case.a, b=other.name)


register(
    QuestionType(
        "facing",
        lambda _: "choice",
        _facing_cases,
        lambda scene, case: by_name(scene, case.a).facing,
        lambda _: DIRECTIONS,
        _facing_steps,
    )
)


# -- the same way ------------------------------------------------------------------------------------------------------


def _two_fronted(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for a, b in pairs(scene, rng):
        if a.facing and b.facing:
            yield Case(a.name, b.name)


def _solve_same(scene: Scene, case: Case) -> str:
    return yes_no(by_name(scene, case.a).facing == by_name(scene, case.b).facing)


def _same_steps(chain: Chain, case: Case) -> None:
    chain.read(case, chance=0.65)
    chain.recall(about(case.a), opposite())
    chain.look(case.a, case.b)
    looked_up = chain.looks_things_up()
    for name in (case.a, case.b) if looked_up else (case.b,):
        chain.facing(name)
    chain.add("same_way", _solve_same(chain.scene, case), looked_up=looked_up, a=case.a, b=case.b)


register(QuestionType("same_way", lambda _: "yes_no", _two_fronted, _solve_same, lambda _: ("yes", "no"), _same_steps))


# -- toward ------------------------------------------------------------------------------------------------------------


def _fronted_and_other(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for a, b in pairs(scene, rng):
        if a.facing:
            yield Case(a.name, b.name)


def _solve_toward(scene: Scene, case: Case) -> str | None:
    """Yes within 45 degrees of straight ahead, no if not ahead at all, None in between, where the words are not clear."""
    a, b = by_name(scene, case.a), by_name(scene, case.b)
    assert a.facing is not None
    ahead, aside = _reach(a, b, a.facing), abs(_reach(a, b, _turned(a.facing, 1)))
    if ahead < 0:
        return "no"
    return "yes" if ahead > 0 and aside <= ahead else None


def _toward_steps(chain: Chain, case: Case) -> None:
    a = by_name(chain.scene, case.a)
    axis = "row" if a.facing in ("up", "down") else "column"
    answer = _solve_toward(chain.scene, case)
    assert answer is not None
    chain.read(case)
    chain.recall(about(case.a), opposite())
    chain.look(case.a, case.b)
    chain.facing(case.a)
    looked_up = chain.looks_things_up(0.5)
    if looked_up:
        _lines_steps(chain, case, axis)
    if chain.rng.random() < 0.5 and side_of(by_name(chain.scene, case.b), a, axis):
        chain.side(case.b, case.a, axis, looked_up=looked_up)
    chain.add("ahead", answer, looked_up=looked_up, a=case.a, b=case.b)


register(
    QuestionType(
        "toward", lambda _: "yes_no", _fronted_and_other, _solve_toward, lambda _: ("yes", "no"), _toward_steps
    )
)


# -- viewpoint ---------------------------------------------------------------------------------------------------------


def _solve_viewpoint(scene: Scene, case: Case) -> str | None:
    a, b = by_name(scene, case.a), by_name(scene, case.b)
    assert a.facing is not None
    ahead, right = _reach(a, b, a.facing), _reach(a, b, _turned(a.facing, 1))
    if right == 0 or abs(ahead) > abs(right):
        return None
    return "right" if right > 0 else "left"


def _viewpoint_steps(chain: Chain, case: Case) -> None:
    a = by_name(chain.scene, case.a)
    answer = _solve_viewpoint(chain.scene, case)
    assert answer is not None
    assert a.facing is not None
    axis = "column" if a.facing in ("up", "down") else "row"
    hand = chain.rng.choice(("left", "right"))
    chain.read(case)
    chain.look(case.a, case.b, chance=0.6)
    chain.facing(case.a)
    own = _SIDE_WORD[_turned(a.facing, 1 if hand == "right" else -1)]
    chain.add("own_side", own, options=_SIDES, hand=hand)
    looked_up = chain.looks_things_up(0.5)
    if looked_up:
        _lines_steps(chain, case, axis)
    chain.side(case.b, case.a, axis, looked_up=looked_up)
    if chain.rng.random() < 0.35:
        chain.add("own_hand", answer, options=("left", "right"), looked_up=True, a=case.a, b=case.b)


register(
    QuestionType(
        "viewpoint",
        lambda _: "choice",
        _fronted_and_other,
        _solve_viewpoint,
        lambda _: ("left", "right"),
        _viewpoint_steps,
    )
)
