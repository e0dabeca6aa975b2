"""Question types on depth: which is nearer, what is in front. Depth shows in size, clearness, shadow and occlusion."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headatlas.scenes.question_types.base import (
    Case,
    Chain,
    QuestionType,
    about,
    by_name,
    looks_larger,
    opposite,
    pairs,
    register,
    yes_no,
)
from headatlas.scenes.world import DEPTHS, Scene


def _cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for a, b in pairs(scene, rng):
        yield Case(a.name, b.name)


def _covering_first(scene: Scene, rng: random.Random) -> Iterator[Case]:
    """Pairs of things, neighbours first, because the nearer one covers a part of the other there."""

    def apart(case: Case) -> bool:
        a, b = by_name(scene, case.a), by_name(scene, case.b)
        return abs(a.row - b.row) + abs(a.column - b.column) > 1

    yield from sorted(_cases(scene, rng), key=apart)


def _nearer(scene: Scene, case: Case) -> str | None:
    a, b = by_name(scene, case.a), by_name(scene, case.b)
    if a.depth == b.depth:
        return None
    return a.name if a.depth < b.depth else b.name


def _solve_front(scene: Scene, case: Case) -> str | None:
    nearer = _nearer(scene, case)
    return nearer and yes_no(nearer == case.a)


def _steps(chain: Chain, case: Case) -> None:
    nearer = _nearer(chain.scene, case)
    assert nearer is not None
    chain.read(case, chance=0.65)
    chain.recall(looks_larger, looks_larger, opposite(), about(case.a), chance=0.6)
    chain.look(case.a, case.b)
    looked_up = chain.looks_things_up()
    for name in (case.a, case.b) if looked_up else (case.b,):
        chain.add("depth_of", DEPTHS[by_name(chain.scene, name).depth], options=DEPTHS, a=name)
    chain.add("nearer", nearer, options=(case.a, case.b), looked_up=looked_up, a=case.a, b=case.b)


register(QuestionType("near_far", lambda _: "text", _cases, _nearer, lambda case: (case.a, case.b), _steps))
register(
    QuestionType(
        "front_behind",
        lambda _: "yes_no",
        _covering_first,
        _solve_front,
        lambda _: ("yes", "no"),
        _steps,
        swappable=True,
    )
)
