"""Scenes' questions in natural English, for models that know the language, instead of the templates of `phrases.py`.

The templates have few words, which a model trained from scratch can learn; these wordings are what the source `scenes-english`
asks. The family smol is trained on some of them; the others are held out, for split E and to measure how well it understands
words that it never saw. `reword` finds the template of each text, takes the names of things and other values out of it, and puts
them into another wording; the answers stay the same.

The wordings stand in `english/`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Literal, get_args

from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.scenes import phrases
from headatlas.scenes.english import QUESTIONS, STEPS
from headatlas.scenes.question_types.base import OPPOSITES, in_order
from headatlas.scenes.question_types.hops import JUST_NAMED
from headatlas.scenes.world import CLASSES, COLORS, TEXTURES

Which = Literal["train", "held_out", "all"]


def reword(question: Question, rng: random.Random, which: str) -> Question:
    """Return the same question, and its steps, in other words; all else stays.

    Only the answers to "which thing is named first, or second?" follow the new words of the question.

    Args:
        question: A question about a scene, in the templates of `phrases.py`.
        rng: Draws one of the wordings for each text.
        which: The wordings to draw from: those for training, the held-out ones, or all.

    Raises:
        HeadAtlasError: A text that no template makes.
    """
    if which not in get_args(Which):
        raise HeadAtlasError(f"which must be one of {', '.join(get_args(Which))}, got {which!r}")
    key, slots = question_slots(question.family, question.text)
    text = _fill(rng.choice(QUESTIONS[key].of(which)), slots)
    named = in_order((slots.get(name, "") for name in "abc"), text)
    steps = tuple(_reworded(step, rng, which, named) for step in question.steps)
    return question.model_copy(update={"text": text, "steps": steps})


def _reworded(step: Step, rng: random.Random, which: str, named: list[str]) -> Step:
    slots = step_slots(step.kind, step.text)
    text = _fill(rng.choice(STEPS[step.kind].of(which)), slots)
    answer = named[_PLACES[step.kind]] if step.kind in _PLACES else step.answer
    return step.model_copy(update={"text": text, "answer": answer})


_PLACES = {"asked_first": 0, "asked_second": 1}


def _fill(wording: str, slots: Mapping[str, str]) -> str:
    return _ARTICLE.sub(r"\1n ", wording.format(**slots)).replace("fishs", "fish")


_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


# -- the values in a text ----------------------------------------------------------------------------------------------


def _one_of(values: Iterable[str]) -> str:
    return "(?:" + "|".join(map(re.escape, values)) + ")"


_SIDE = _one_of(side for pair in OPPOSITES for side in pair)
_NAME = f"(?:{_one_of(COLORS)} {_one_of(CLASSES)}|{JUST_NAMED})"
_VALUES = {
    "a": _NAME,
    "b": _NAME,
    "c": _NAME,
    "ref": _one_of(CLASSES),
    "cls": _one_of(CLASSES),
    "color": _one_of(COLORS),
    "texture": _one_of(TEXTURES),
    "size": "(?:larger|smaller)",
    "trait": "(?:texture|size|facing|depth)",
    "line": "(?:row|column)",
    "hand": "(?:left|right)",
    "side": _SIDE,
    "side0": _SIDE,
    "side1": _SIDE,
    "what": f"(?:{_one_of(COLORS)} )?things",
    "where": f"(?:inside the frame|in the {_SIDE} half|in the {_SIDE} {_SIDE} part)",
}
"""What each slot can hold, as a pattern: exact, so that only one template and one set of values fit a text."""

_VARIANTS = {
    "left_right": ("left_right", "left_right_yes_no"),
    "above_below": ("above_below", "above_below_yes_no"),
    "closest": ("closest", "farthest"),
    "count_region": ("count_in",),
}
"""Keys of `phrases.QUESTIONS` of the question types that have others than their name."""

_OPENER = re.compile(_one_of(opener for opener in phrases.OPENERS if opener))


def _pattern(template: str) -> re.Pattern[str]:
    """The texts that a template makes, with a group for each slot."""
    parts = re.split(r"\{(\w+)\}", template)  # literal, slot, literal, ...
    pattern, seen = "", set()
    for i, part in enumerate(parts):
        if i % 2 == 0:
            pattern += re.sub(r"\ba\\ $", r"an?\\ ", re.escape(part))
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>{_VALUES[part]})"
            seen.add(part)
    return re.compile(pattern)


@cache
def _patterns(templates: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(_pattern(template) for template in templates)


@lru_cache(maxsize=1 << 16)
def _slots(templates: tuple[str, ...], text: str) -> Mapping[str, str] | None:
    """The slots' values in a text, None if none of the templates makes it."""
    for pattern in _patterns(templates):
        if match := pattern.fullmatch(text):
            return MappingProxyType(match.groupdict())
    return None


def step_slots(kind: str, text: str) -> Mapping[str, str]:
    """Return the slots' values in the text of a step of this kind.

    Raises:
        HeadAtlasError: An unknown kind, or a text that no template of the kind makes.
    """
    if kind not in phrases.KINDS:
        raise HeadAtlasError(
            f"kind must be one of headatlas.scenes.phrases.KINDS, got {kind!r} for the step {text!r:.80}"
        )
    opener = _OPENER.match(text)
    slots = _slots(phrases.KINDS[kind].phrases, text[opener.end() :] if opener else text)
    if slots is None:
        raise HeadAtlasError(f"text must be made by a template of the step kind {kind!r}, got {text!r:.80}")
    return slots


def question_slots(question_type: str, text: str) -> tuple[str, Mapping[str, str]]:
    """Return the key of `phrases.QUESTIONS` whose template makes a main question's text, and the slots' values in it.

    Raises:
        HeadAtlasError: A text that no template of the question type makes.
    """
    for key in _VARIANTS.get(question_type, (question_type,)):
        slots = _slots(phrases.QUESTIONS.get(key, ()), text)
        if slots is not None:
            return key, slots
    raise HeadAtlasError(f"text must be made by a template of the question type {question_type!r}, got {text!r:.80}")
