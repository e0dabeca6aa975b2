"""Question types on rows and columns: left/right, above/below, between, aligned, apart, closest/farthest."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headatlas.cogvsr.schema import AnswerType
from headatlas.scenes.question_types.base import (
    Case,
    Chain,
    QuestionType,
    about,
    by_name,
    grows,
    opposite,
    pairs,
    register,
    side_of,
    triples,
    yes_no,
)
from headatlas.scenes.world import Scene, Thing

_SIDES = {"column": ("left", "right"), "row": ("above", "below")}


def _along(axis: str, thing: Thing) -> int:
    return thing.column if axis == "column" else thing.row


# -- left/right and above/below ----------------------------------------------------------------------------------------


def _two_sided(name: str, axis: str) -> QuestionType:
    def cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
        asked = rng.random() < 0.5
        for a, b in pairs(scene, rng):
            if asked:
                yield Case(a.name, b.name, variant=f"{name}_yes_no", slots={"side": rng.choice(_SIDES[axis])})
            else:
                yield Case(a.name, b.name)

    def solve(scene: Scene, case: Case) -> str | None:
        side = side_of(by_name(scene, case.a), by_name(scene, case.b), axis)
        if side is None or not case.slots:
            return side
        return yes_no(side == case.slots["side"])

    def answer_type(case: Case) -> AnswerType:
        return "yes_no" if case.slots else "choice"

    def add_steps(chain: Chain, case: Case) -> None:
        chain.read(case)
        if case.slots and chain.rng.random() < 0.5:
            chain.add("asked_side", case.slots["side"], options=_SIDES[axis], optional=True)
        chain.recall(opposite(case.slots.get("side", "")), grows(axis), about(case.a))
        chain.look(case.a, case.b)
        looked_up = chain.looks_things_up()
        for name in (case.a, case.b) if looked_up else (case.a,):
            chain.line(axis, name)
        if looked_up and chain.rng.random() < 0.9:
            first, second = (_along(axis, by_name(chain.scene, n)) for n in (case.a, case.b))
            chain.add("is_less", yes_no(first < second), optional=True)
        chain.side(case.a, case.b, axis, looked_up=looked_up)

    return QuestionType(
        name,
        answer_type,
        cases,
        solve,
        lambda case: ("yes", "no") if case.slots else _SIDES[axis],
        add_steps,
        swappable=True,
    )


register(_two_sided("left_right", "column"))
register(_two_sided("above_below", "row"))


# -- between -----------------------------------------------------------------------------------------------------------


def _between_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for a, b, c in triples(scene, rng):
        yield Case(a.name, b.name, c.name)


def _solve_between(scene: Scene, case: Case) -> str | None:
    a, b, c = (by_name(scene, name).column for name in (case.a, case.b, case.c))
    if abs(a - b) < 2 or c in (a, b):
        return None
    return yes_no(min(a, b) < c < max(a, b))


def _between_steps(chain: Chain, case: Case) -> None:
    chain.read(case)
    chain.recall(grows("column"), opposite(), about(case.c))
    chain.look(case.a, case.b, case.c)
    looked_up = chain.looks_things_up()
    for name in (case.a, case.b, case.c) if looked_up else (case.c,):
        chain.column(name)
    answer = _solve_between(chain.scene, case)
    assert answer is not None
    if looked_up and chain.rng.random() < 0.9:
        chain.add("inside_range", answer, optional=True)
    chain.add("between", answer, looked_up=looked_up, a=case.a, b=case.b, c=case.c)


register(
    QuestionType("between", lambda _: "yes_no", _between_cases, _solve_between, lambda _: ("yes", "no"), _between_steps)
)


# -- aligned, apart ----------------------------------------------------------------------------------------------------


def _line_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    for a, b in pairs(scene, rng):
        yield Case(a.name, b.name, slots={"line": rng.choice(("row", "column"))})


def _gap(scene: Scene, case: Case) -> int:
    first, second = (_along(case.slots["line"], by_name(scene, name)) for name in (case.a, case.b))
    return abs(first - second)


def _line_steps(chain: Chain, case: Case, *, looked_up: bool) -> None:
    line = case.slots["line"]
    chain.read(case)
    if chain.rng.random() < 0.5:
        chain.add("asked_line", line, options=("row", "column"), optional=True)
    chain.recall(grows(line), opposite(), about(case.a))
    chain.look(case.a, case.b)
    for name in (case.a, case.b) if looked_up else (case.b,):
        chain.line(line, name)


def _aligned_steps(chain: Chain, case: Case) -> None:
    looked_up = chain.looks_things_up()
    _line_steps(chain, case, looked_up=looked_up)
    answer = yes_no(_gap(chain.scene, case) == 0)
    if looked_up and chain.rng.random() < 0.9:
        chain.add("is_equal", answer, optional=True)
    chain.add("aligned", answer, looked_up=looked_up, a=case.a, b=case.b, line=case.slots["line"])


def _apart_steps(chain: Chain, case: Case) -> None:
    _line_steps(chain, case, looked_up=True)
    chain.add("difference", str(_gap(chain.scene, case)))
    axis = case.slots["line"]
    if chain.rng.random() < 0.7:
        chain.side(case.a, case.b, axis, looked_up=True)


register(
    QuestionType(
        "aligned",
        lambda _: "yes_no",
        _line_cases,
        lambda scene, case: yes_no(_gap(scene, case) == 0),
        lambda _: ("yes", "no"),
        _aligned_steps,
    )
)
register(
    QuestionType(
        "apart",
        lambda _: "number",
        _line_cases,
        lambda scene, case: str(_gap(scene, case)) if _gap(scene, case) else None,
        lambda _: ("1", "2", "3", "4"),
        _apart_steps,
    )
)


# -- closest, farthest -------------------------------------------------------------------------------------------------


def _closest_cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    variant = rng.choice(("closest", "farthest"))
    for a, b, c in triples(scene, rng):
        for axis in rng.sample(("row", "column"), 2):
            yield Case(a.name, b.name, c.name, variant=variant, slots={"axis": axis})


def _nearest(scene: Scene, case: Case) -> str | None:
    """The thing that is closer to a, None unless one axis alone decides it and the distance agrees."""
    a, b, c = (by_name(scene, name) for name in (case.a, case.b, case.c))
    axis, across = case.slots["axis"], "row" if case.slots["axis"] == "column" else "column"
    if any(abs(_along(across, x) - _along(across, a)) > 1 for x in (b, c)):
        return None
    to_b, to_c = (abs(_along(axis, x) - _along(axis, a)) for x in (b, c))
    if abs(to_b - to_c) < 2 or _along(axis, b) == _along(axis, c):
        return None
    return case.b if to_b < to_c else case.c


def _solve_closest(scene: Scene, case: Case) -> str | None:
    near = _nearest(scene, case)
    if near is None or case.variant == "closest":
        return near
    return case.c if near == case.b else case.b


def _closest_steps(chain: Chain, case: Case) -> None:
    near, axis = _nearest(chain.scene, case), case.slots["axis"]
    assert near is not None
    chain.read(case)
    chain.recall(grows(axis), opposite(), about(case.a))
    chain.look(case.a, case.b, case.c)
    looked_up = chain.looks_things_up()
    for name in (case.a, case.b, case.c) if looked_up else (case.a,):
        chain.line(axis, name)
    if looked_up and chain.rng.random() < 0.9:
        chain.add("closest_number", str(_along(axis, by_name(chain.scene, near))), optional=True)
    chain.add("closer", near, options=(case.b, case.c), looked_up=looked_up, a=case.a, b=case.b, c=case.c)


register(
    QuestionType(
        "closest", lambda _: "text", _closest_cases, _solve_closest, lambda case: (case.b, case.c), _closest_steps
    )
)
