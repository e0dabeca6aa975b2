"""Multi-hop questions: find a thing by its place, then ask for a property of it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headatlas.cogvsr.schema import AnswerType
from headatlas.scenes.question_types.base import Case, Chain, QuestionType, about, opposite, register
from headatlas.scenes.world import DEPTHS, DIRECTIONS, SIZES, TEXTURES, Scene, Thing

_PLACE_OF = {
    "left": lambda t: t.column,
    "right": lambda t: -t.column,
    "top": lambda t: t.row,
    "bottom": lambda t: -t.row,
}
_TRAITS: dict[str, tuple[str, ...]] = {"texture": TEXTURES, "size": SIZES, "facing": DIRECTIONS, "depth": DEPTHS}
_KINDS = {"texture": "texture_of", "size": "size_of", "facing": "facing_of", "depth": "depth_of"}
JUST_NAMED = "thing just named"
"""Stands for the thing that the first hop finds; its name would give the first hop's answer away."""


def _outermost(scene: Scene, side: str) -> Thing | None:
    """The thing that is farthest to a side, None if two are equally far."""
    ranked = sorted(scene.things, key=_PLACE_OF[side])
    return ranked[0] if _PLACE_OF[side](ranked[0]) < _PLACE_OF[side](ranked[1]) else None


def _trait(thing: Thing, trait: str) -> str | None:
    return DEPTHS[thing.depth] if trait == "depth" else getattr(thing, trait)


def _cases(scene: Scene, rng: random.Random) -> Iterator[Case]:
    trait = rng.choice(list(_TRAITS))
    for side in rng.sample(list(_PLACE_OF), len(_PLACE_OF)):
        if _outermost(scene, side):
            yield Case("", slots={"side": side, "trait": trait})


def _solve(scene: Scene, case: Case) -> str | None:
    thing = _outermost(scene, case.slots["side"])
    return thing and _trait(thing, case.slots["trait"])


def _steps(chain: Chain, case: Case) -> None:
    side, trait = case.slots["side"], case.slots["trait"]
    thing = _outermost(chain.scene, side)
    answer = thing and _trait(thing, trait)
    assert thing is not None
    assert answer is not None
    if chain.rng.random() < 0.6:
        chain.add("asked_trait", trait, options=tuple(_TRAITS), optional=True)
    if chain.rng.random() < 0.6:
        chain.add("asked_side", side, options=tuple(_PLACE_OF), optional=True)
    chain.recall(opposite(side), about(thing.name))
    chain.look(*(t.name for t in chain.scene.things), chance=0.5)
    chain.add("extreme", thing.name, side=side)
    if chain.rng.random() < 0.3:
        chain.line("column" if side in ("left", "right") else "row", thing.name)
    chain.add(_KINDS[trait], answer, options=_TRAITS[trait], a=JUST_NAMED)


def _answer_type(case: Case) -> AnswerType:
    return "choice"


register(QuestionType("multi_hop", _answer_type, _cases, _solve, lambda case: _TRAITS[case.slots["trait"]], _steps))
