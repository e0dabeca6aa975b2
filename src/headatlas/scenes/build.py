"""Make questions about scenes, deterministic from a seed.

`symbolic` makes questions without pixels (fast: for training and statistics); `build` renders them. The answer of a question is
fixed first, each of its type's answers in turn, and a scene is searched in which it holds, so that the wording alone predicts
nothing. Every split has scenes of its own, because its name is part of their seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from headatlas.cogvsr.enough import SHARES, shares_of
from headatlas.cogvsr.schema import Box, Question, SceneObject, Split
from headatlas.errors import HeadAtlasError
from headatlas.printing import brief
from headatlas.scenes.question_types import QUESTION_TYPES, Case, Chain, QuestionType
from headatlas.scenes.question_types.base import question_text, wordings
from headatlas.scenes.render import render, visible_shares
from headatlas.scenes.sample import random_scene
from headatlas.scenes.world import CANVAS, Scene

_TRIES = 400
"""Scenes that are tried for one question before its wording is drawn again; a few dozen are enough for the rarest."""


@dataclass(frozen=True)
class SceneQuestion:
    """A question with its scene and its case; `question.images` is empty until it is rendered."""

    scene: Scene
    case: Case
    question: Question
    wording: int
    """Number of the phrasing that the question uses; its minimal pairs use the same."""

    __repr__ = brief

    def rendered(self) -> Question:
        """Return the question with its picture (384 x 384 pixels) and its objects, with the visible share of each."""
        objects = _objects(self.scene, visible_shares(self.scene))
        return self.question.model_copy(update={"images": (render(self.scene),), "objects": objects})


def split_sizes(n: int, splits: Sequence[str] = tuple(SHARES)) -> dict[Split, int]:
    """Deal `n` questions to the splits by `SHARES`, the remainder to the last."""
    if n < len(splits):
        raise HeadAtlasError(f"n must be at least 1 for each of {len(splits)} splits, got n={n}")
    chosen = shares_of(splits)
    total = sum(chosen.values())
    sizes: dict[Split, int] = {split: max(1, round(n * share / total)) for split, share in chosen.items()}
    sizes[list(sizes)[-1]] += n - sum(sizes.values())
    return sizes


def symbolic(n: int, split: Split, seed: int, question_types: Sequence[str] | None = None) -> Iterator[SceneQuestion]:
    """Yield `n` questions of one split without pixels, each about a scene of its own; question types take turns.

    Raises:
        HeadAtlasError: An unknown question type.
    """
    chosen = [QUESTION_TYPES[name] for name in question_types] if question_types else list(QUESTION_TYPES.values())
    for index in range(n):
        rng = random.Random(f"cogvsr-scenes/{split}/{seed}/{index}")
        turn, which = divmod(index, len(chosen))
        yield _ask(chosen[which], turn, rng, split, f"scenes-{split}-{seed}-{index:06d}")


def build(
    n: int = 400, seed: int = 0, splits: Sequence[str] = tuple(SHARES), pairs: bool = False
) -> Iterator[Question]:
    """Yield `n` rendered questions, dealt to the splits by `SHARES`; with `pairs`, each is followed by its minimal pairs."""
    for split, size in split_sizes(n, splits).items():
        for made in symbolic(size, split, seed):
            yield made.rendered()
            if pairs:
                yield from (pair.rendered() for pair in minimal_pairs(made))


def ask_all(scene: Scene, rng: random.Random, split: Split) -> list[Question]:
    """Return a question of every type that fits this scene, without pixels; answers are drawn evenly where possible.

    A scene with fewer than two things has none.
    """
    if len(scene.things) < 2:
        return []
    asked = []
    for question_type in QUESTION_TYPES.values():
        case = _find_case(question_type, scene, rng)
        if case:
            asked.append(
                _question(
                    question_type, scene, case, rng, split, f"{question_type.name}-{rng.getrandbits(48):012x}"
                ).question
            )
    return asked


def minimal_pairs(made: SceneQuestion) -> list[SceneQuestion]:
    """Return the question asked of the mirrored scene, and with its things swapped, if the answer changes."""
    question_type, base = QUESTION_TYPES[made.question.family], made.question
    others = [("mirror", made.scene.mirrored(), made.case)]
    if question_type.swappable:
        others.append(("swap", made.scene, made.case.swapped()))
    found = []
    for kind, scene, case in others:
        answer = question_type.solve(scene, case)
        if answer is None or answer == base.answer:
            continue
        rng = random.Random(f"{base.id}/{kind}")
        pair = _question(question_type, scene, case, rng, base.split, f"{base.id}-{kind}", made.wording)
        update = {"pair": base.id, "pair_kind": kind, "scene": base.scene}
        found.append(replace(pair, question=pair.question.model_copy(update=update)))
    return found


def _ask(question_type: QuestionType, turn: int, rng: random.Random, split: Split, name: str) -> SceneQuestion:
    while True:
        scene = random_scene(rng, frame=0.8 if question_type.name.endswith("region") else 0.35)
        first = next(question_type.cases(scene, rng), None)
        if first is None:
            continue
        # The first case fixes what the wording says (its variant and slots); its possible answers take turns.
        want = turn % len(question_type.wants(first))
        for _ in range(_TRIES):
            case = _with_answer(question_type, scene, rng, want, like=first)
            if case:
                return _question(question_type, scene, case, rng, split, name)
            scene = random_scene(rng, frame=1.0 if scene.region else 0.0)


def _with_answer(
    question_type: QuestionType, scene: Scene, rng: random.Random, want: int, like: Case | None = None
) -> Case | None:
    for case in question_type.cases(scene, rng):
        if like and (case.variant, case.slots) != (like.variant, like.slots):
            continue
        if question_type.solve(scene, case) == question_type.wants(case)[want]:
            return case
    return None


def _find_case(question_type: QuestionType, scene: Scene, rng: random.Random) -> Case | None:
    first = next(question_type.cases(scene, rng), None)
    return first and _with_answer(question_type, scene, rng, rng.randrange(len(question_type.wants(first))), like=first)


def _question(
    question_type: QuestionType,
    scene: Scene,
    case: Case,
    rng: random.Random,
    split: Split,
    name: str,
    wording: int | None = None,
) -> SceneQuestion:
    answer = question_type.solve(scene, case)
    assert answer is not None, (question_type.name, case)
    if wording is None:
        wording = rng.randrange(wordings(case, question_type.name))
    text = question_text(case, question_type.name, wording)
    wants = question_type.wants(case)
    answer_type = question_type.answer_type(case)
    options = () if answer_type in ("yes_no", "number") else wants
    chain = Chain(scene, split, rng, text)
    question_type.add_steps(chain, case)
    question = Question(
        id=name,
        source="scenes",
        split=split,
        family=question_type.name,
        scene=name,
        text=text,
        options=options,
        answer=answer,
        answer_type=answer_type,
        steps=chain.decide(answer, answer_type, options),
        objects=_objects(scene),
    )
    return SceneQuestion(scene, case, question, wording)


def _objects(scene: Scene, visible: Sequence[float] | None = None) -> tuple[SceneObject, ...]:
    made = []
    for i, thing in enumerate(scene.things):
        x0, y0, x1, y1 = (edge / CANVAS for edge in thing.box)
        made.append(
            SceneObject(
                id=i,
                cls=thing.cls,
                color=thing.color,
                size=thing.size,
                texture=thing.texture,
                facing=thing.facing,
                box=Box(x0=x0, y0=y0, x1=x1, y1=y1),
                row=thing.row,
                column=thing.column,
                depth=thing.depth,
                visible=None if visible is None else visible[i],
            )
        )
    return tuple(made)
