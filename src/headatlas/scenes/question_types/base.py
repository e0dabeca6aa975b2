"""What a question type is, and the chain of steps of one of its questions.

A question type gives the cases that a scene offers (`cases`), the answer of a case (`solve`), and the steps that lead to it
(`add_steps`). Everything is computed from the scene, so that the same case can be asked of the mirrored scene or with two
things exchanged: these are the minimal pairs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from headatlas.cogvsr.schema import AnswerType, Box, Split, Step
from headatlas.registry import Registry
from headatlas.scenes.phrases import COMMON, KINDS, OPENERS, QUESTIONS
from headatlas.scenes.world import CANVAS, CLASSES, COLORS, DEPTHS, PLACES, SIZES, TEXTURES, Scene, Thing

LEAST_STEPS, MOST_STEPS = 3, 9


@dataclass(frozen=True)
class Case:
    """One question about one scene without its words: names of things, and other values for its phrasings."""

    a: str
    b: str = ""
    c: str = ""
    variant: str = ""
    """Key of `QUESTIONS`; the name of the question type if empty."""
    slots: dict[str, str] = field(default_factory=dict)

    def swapped(self) -> Case:
        """The case with its first two things exchanged."""
        return replace(self, a=self.b, b=self.a)


@dataclass(frozen=True)
class QuestionType:
    """A type of questions, such as left or right."""

    name: str
    answer_type: Callable[[Case], AnswerType]
    cases: Callable[[Scene, random.Random], Iterator[Case]]
    solve: Callable[[Scene, Case], str | None]
    """The answer, or None if the case is not clear-cut in this scene (such as two things in one column)."""
    wants: Callable[[Case], tuple[str, ...]]
    """The possible answers, which occur equally often."""
    add_steps: Callable[[Chain, Case], None]
    """Adds the steps that lead to the answer, without the decision."""
    swappable: bool = False
    """Whether exchanging a and b makes a question with another answer."""


QUESTION_TYPES: Registry[QuestionType] = Registry("question type")


def register(question_type: QuestionType) -> QuestionType:
    """Add a question type to the registry under its name."""
    return QUESTION_TYPES.add(question_type.name, question_type)


def by_name(scene: Scene, name: str) -> Thing:
    """Return the thing called `name` ("red dog")."""
    return next(thing for thing in scene.things if thing.name == name)


class Chain:
    """The steps of one case, asked as `text`, in words that its split may use.

    `look`, `recall` and `read` add a step by chance that is off the direct path to the answer, as in people's chains of
    thought: every question type gets its share of perception, knowledge and extraction.
    """

    def __init__(self, scene: Scene, split: Split, rng: random.Random, text: str) -> None:
        self.scene, self.rng, self._text = scene, rng, text
        self._open = split in ("E", "train")
        self._steps: list[tuple[Step, bool]] = []

    def add(
        self,
        kind: str,
        answer: str,
        *,
        options: tuple[str, ...] = (),
        optional: bool = False,
        looked_up: bool = False,
        **slots: str,
    ) -> None:
        """Append a step of `kind` with its answer.

        Args:
            kind: Key of `KINDS`.
            answer: The answer.
            options: Of a choice.
            optional: Whether the step may be dropped from a chain of more than nine steps.
            looked_up: Whether the earlier steps say all that this one needs, so that it needs no image.
            slots: Values for the names in the phrasings.
        """
        known = KINDS[kind]
        needs_image = known.needs_image and not looked_up
        phrases = known.phrases if self._open else known.phrases[:COMMON]
        text = self.rng.choice(OPENERS) + _articles(self.rng.choice(phrases).format(**slots))
        boxes = (
            tuple(_box(thing) for thing in self.scene.things if thing.name in slots.values())
            if known.needs_image
            else ()
        )
        step = Step(
            text=text,
            answer=answer,
            answer_type=known.answer_type,
            functions=known.functions,
            options=options,
            kind=kind,
            needs_image=needs_image,
            boxes=boxes,
        )
        self._steps.append((step, optional))

    def decide(self, answer: str, answer_type: AnswerType, options: tuple[str, ...]) -> tuple[Step, ...]:
        """Add the decision and return the steps of the chain, at most nine."""
        self.add("decide", answer, options=options)
        last, _ = self._steps[-1]
        self._steps[-1] = (last.model_copy(update={"answer_type": answer_type}), False)
        if len(self._steps) < LEAST_STEPS:
            spare, self._steps = self._steps, []
            opposite()(self)
            self._steps += spare
        over = len(self._steps) - MOST_STEPS
        spare = [i for i, (_, optional) in enumerate(self._steps) if optional]
        dropped = set(self.rng.sample(spare, over)) if over > 0 else set()
        return tuple(step for i, (step, _) in enumerate(self._steps) if i not in dropped)

    # -- steps off the direct path ---------------------------------------------------------------------------------

    def read(self, case: Case, chance: float = 0.5) -> None:
        """By chance, ask what the question names: its first or its second thing, in the order of its words."""
        if self.rng.random() < chance:
            first, *others = in_order((case.a, case.b, case.c), self._text)
            if case.b and self.rng.random() < 0.5:
                self.add("asked_second", others[0], optional=True)
            else:
                self.add("asked_first", first, optional=True)

    def look(self, *names: str, chance: float = 0.85) -> None:
        """By chance, ask for something other than the position of one of the things, or of the whole picture."""
        if self.rng.random() >= chance:
            return
        thing, kind = by_name(self.scene, self.rng.choice(names)), self.rng.choice(_LOOKS)
        kind(self, thing)

    def recall(self, *makers: Callable[[Chain], None], chance: float = 0.45) -> None:
        """By chance, ask for one piece of knowledge."""
        if makers and self.rng.random() < chance:
            self.rng.choice(makers)(self)

    # -- steps that many question types share ----------------------------------------------------------------------------

    def column(self, name: str) -> None:
        """Ask for the column of a thing."""
        self.add("column_of", str(by_name(self.scene, name).column), a=name)

    def row(self, name: str) -> None:
        """Ask for the row of a thing."""
        self.add("row_of", str(by_name(self.scene, name).row), a=name)

    def line(self, line: str, name: str) -> None:
        """Ask for the row or the column of a thing."""
        (self.column if line == "column" else self.row)(name)

    def facing(self, name: str) -> None:
        """Ask which way a thing faces."""
        thing = by_name(self.scene, name)
        assert thing.facing is not None, thing
        self.add("facing_of", thing.facing, options=("up", "right", "down", "left"), a=name)

    def looks_things_up(self, chance: float = 0.6) -> bool:
        """Decide by chance whether the chain asks for each thing first; otherwise the relation must be seen at once."""
        return self.rng.random() < chance

    def side(self, a: str, b: str, axis: str, *, looked_up: bool = False) -> str:
        """Ask on which side of b a lies, on the axis "column" or "row"; return the answer."""
        answer = side_of(by_name(self.scene, a), by_name(self.scene, b), axis)
        assert answer is not None, (a, b)
        kind, options = ("side_h", ("left", "right")) if axis == "column" else ("side_v", ("above", "below"))
        self.add(kind, answer, options=options, looked_up=looked_up, a=a, b=b)
        return answer


def in_order(names: Iterable[str], text: str) -> list[str]:
    """Return those of the names that a text has, in the order in which it names them first."""
    return sorted((name for name in names if name and name in text), key=text.index)


def side_of(a: Thing, b: Thing, axis: str) -> str | None:
    """Return on which side of `b` `a` lies ("column": left or right, "row": above or below), None if they are level."""
    step = a.column - b.column if axis == "column" else a.row - b.row
    words = ("left", "right") if axis == "column" else ("above", "below")
    return None if step == 0 else words[step > 0]


def wordings(case: Case, name: str) -> int:
    """Return the number of phrasings of the main question."""
    return len(QUESTIONS[case.variant or name])


def question_text(case: Case, name: str, wording: int) -> str:
    """Return the main question in one of its phrasings."""
    return QUESTIONS[case.variant or name][wording].format(a=case.a, b=case.b, c=case.c, **case.slots)


def _articles(text: str) -> str:
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def yes_no(truth: bool) -> str:
    """Return "yes" or "no"."""
    return "yes" if truth else "no"


def pairs(scene: Scene, rng: random.Random) -> Iterator[tuple[Thing, Thing]]:
    """Yield ordered pairs of different things, in random order."""
    found = [(a, b) for a in scene.things for b in scene.things if a is not b]
    rng.shuffle(found)
    yield from found


def triples(scene: Scene, rng: random.Random) -> Iterator[tuple[Thing, Thing, Thing]]:
    """Yield ordered triples of different things, in random order."""
    found = [(a, b, c) for a, b in pairs(scene, rng) for c in scene.things if c is not a and c is not b]
    rng.shuffle(found)
    yield from found


def _box(thing: Thing) -> Box:
    x0, y0, x1, y1 = (edge / CANVAS for edge in thing.box)
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


# -- looks: low- and high-level perception -----------------------------------------------------------------------------


def _color(chain: Chain, thing: Thing) -> None:
    same = [t for t in chain.scene.things if t.cls == thing.cls]
    if len(same) == 1:
        chain.add("color_of", thing.color, options=COLORS, optional=True, ref=thing.cls)
    else:
        _texture(chain, thing)


def _texture(chain: Chain, thing: Thing) -> None:
    chain.add("texture_of", thing.texture, options=TEXTURES, optional=True, a=thing.name)


def _size(chain: Chain, thing: Thing) -> None:
    chain.add("size_of", thing.size, options=SIZES, optional=True, a=thing.name)


def _has_texture(chain: Chain, thing: Thing) -> None:
    other = chain.rng.choice([t for t in TEXTURES if t != thing.texture])
    asked = thing.texture if chain.rng.random() < 0.5 else other
    chain.add("has_texture", yes_no(asked == thing.texture), optional=True, a=thing.name, texture=asked)


def _exists(chain: Chain, thing: Thing) -> None:
    if chain.rng.random() < 0.5:
        chain.add("exists", "yes", optional=True, a=thing.name)
        return
    shown = {t.name for t in chain.scene.things}
    absent = chain.rng.choice(
        [f"{color} {cls}" for color in COLORS for cls in CLASSES if f"{color} {cls}" not in shown]
    )
    chain.add("exists", "no", optional=True, a=absent)


def _place(chain: Chain, thing: Thing) -> None:
    chain.add("place", chain.scene.place, options=PLACES, optional=True)


def _what_is(chain: Chain, thing: Thing) -> None:
    same = [t for t in chain.scene.things if (t.color, t.texture) == (thing.color, thing.texture)]
    if len(same) == 1:
        chain.add("what_is", thing.cls, options=CLASSES, optional=True, color=thing.color, texture=thing.texture)
    else:
        _exists(chain, thing)


def _how_many(chain: Chain, thing: Thing) -> None:
    cls = thing.cls if chain.rng.random() < 0.7 else chain.rng.choice(CLASSES)
    chain.add("how_many_kind", str(sum(t.cls == cls for t in chain.scene.things)), optional=True, cls=cls)


_LOOKS = (_color, _texture, _size, _has_texture, _exists, _place, _what_is, _how_many)


# -- recalls: knowledge ------------------------------------------------------------------------------------------------

OPPOSITES = (("left", "right"), ("above", "below"), ("up", "down"), ("top", "bottom"), ("near", "far"))
_OPPOSITE = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
_CORNERS = {"circle": "0", "triangle": "3", "square": "4"}


def opposite(side: str = "") -> Callable[[Chain], None]:
    """A recall: what is opposite to `side` (any side if empty)."""

    def tell(chain: Chain) -> None:
        known = side or chain.rng.choice(list(_OPPOSITE))
        pair = next(pair for pair in OPPOSITES if known in pair)
        chain.add("opposite", _OPPOSITE[known], options=pair, optional=True, side=known)

    return tell


def grows(line: str) -> Callable[[Chain], None]:
    """A recall: toward which side the numbers of rows or columns grow."""
    answer, options = ("right", ("left", "right")) if line == "column" else ("below", ("above", "below"))
    return lambda chain: chain.add("grows", answer, options=options, optional=True, line=line)


def looks_larger(chain: Chain) -> None:
    """A recall: at which depth the same thing looks larger, or smaller."""
    size, answer = chain.rng.choice([("larger", "near"), ("smaller", "far")])
    chain.add("looks_larger", answer, options=(DEPTHS[0], DEPTHS[2]), optional=True, size=size)


def about(name: str) -> Callable[[Chain], None]:
    """A recall about the class of a thing: its corners, whether it lives, whether it has a front."""
    cls = name.split()[-1]

    def tell(chain: Chain) -> None:
        choices = ["is_animal", "has_front"] + (["corners"] * 2 if cls in _CORNERS else [])
        kind = chain.rng.choice(choices)
        if kind == "corners":
            chain.add(kind, _CORNERS[cls], optional=True, cls=cls)
        elif kind == "is_animal":
            chain.add(kind, yes_no(cls in ("dog", "fish")), optional=True, cls=cls)
        else:
            chain.add(kind, yes_no(cls in ("arrow", "car", "dog", "fish")), optional=True, cls=cls)

    return tell
