"""Questions of the scenes source: which scene, which family, which answer; deterministic from a seed.

Knows scenes, families and the schema. `symbolic` makes questions without pixels (fast: training, statistics); `build`
renders them. A question's answer is fixed first, the family's answers in turn, and a scene is looked for in which it
holds, so that the wording alone gives no answer away. Every split has scenes of its own: its name is in their seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from headatlas.cogvsr.schema import Box, Question, SceneObject, Split
from headatlas.errors import HeadAtlasError
from headatlas.scenes.families import FAMILIES, Case, Chain, Family, find_family
from headatlas.scenes.families.base import question_text, wordings
from headatlas.scenes.render import render, visible_shares
from headatlas.scenes.sample import random_scene
from headatlas.scenes.world import CANVAS, Scene

SHARES: dict[Split, float] = {"P": 0.35, "S": 0.15, "T": 0.1, "E": 0.4}
"""How `n` questions are dealt to the study's splits."""

_TRIES = 400
"""Scenes looked at for one question before its wording is drawn anew; a few dozen suffice for the rarest."""


@dataclass(frozen=True)
class SceneQuestion:
    """A question with the scene it is about and the case that told it. `question.images` is empty until rendered."""

    scene: Scene
    case: Case
    question: Question
    wording: int
    """Which phrasing of its family the question uses: its minimal pairs use the same."""

    def rendered(self) -> Question:
        """Return the question with its picture (384 px) and its objects, with how much of each is visible."""
        objects = _objects(self.scene, visible_shares(self.scene))
        return self.question.model_copy(update={"images": (render(self.scene),), "objects": objects})


def split_sizes(n: int, splits: Sequence[str] = tuple(SHARES)) -> dict[Split, int]:
    """Deal `n` questions to the splits by `SHARES`, the remainder to the last."""
    if n < len(splits):
        raise HeadAtlasError(f"expected at least one question for each of {len(splits)} splits, came n={n}")
    for split in splits:
        if split not in SHARES:
            raise HeadAtlasError(f"unknown split {split!r}: expected one of {', '.join(SHARES)}")
    chosen: dict[Split, float] = {split: share for split, share in SHARES.items() if split in splits}
    total = sum(chosen.values())
    sizes: dict[Split, int] = {split: max(1, round(n * share / total)) for split, share in chosen.items()}
    sizes[list(sizes)[-1]] += n - sum(sizes.values())
    return sizes


def symbolic(n: int, split: Split, seed: int, families: Sequence[str] | None = None) -> Iterator[SceneQuestion]:
    """Yield `n` questions of one split, each about a scene of its own, families in turn, without pixels.

    Raises `HeadAtlasError` for an unknown family.
    """
    chosen = [find_family(name) for name in families] if families else list(FAMILIES.values())
    for index in range(n):
        rng = random.Random(f"cogvsr-scenes/{split}/{seed}/{index}")
        turn, which = divmod(index, len(chosen))
        yield _ask(chosen[which], turn, rng, split, f"scenes-{split}-{seed}-{index:06d}")


def build(
    n: int = 400, seed: int = 0, splits: Sequence[str] = tuple(SHARES), pairs: bool = False
) -> Iterator[Question]:
    """Yield `n` rendered questions, dealt to the splits by `SHARES`; with `pairs`, their minimal pairs behind each."""
    for split, size in split_sizes(n, splits).items():
        for made in symbolic(size, split, seed):
            yield made.rendered()
            if pairs:
                yield from (pair.rendered() for pair in minimal_pairs(made))


def ask_all(scene: Scene, rng: random.Random, split: Split) -> list[Question]:
    """Return a question of every family that fits this scene, answers drawn evenly where it allows (no pixels)."""
    asked = []
    for family in FAMILIES.values():
        case = _find_case(family, scene, rng)
        if case:
            asked.append(_tell(family, scene, case, rng, split, f"{family.name}-{rng.getrandbits(48):012x}").question)
    return asked


def minimal_pairs(made: SceneQuestion) -> list[SceneQuestion]:
    """Return the question asked of the mirrored scene, and with its things swapped, where the answer changes."""
    family, base = find_family(made.question.family), made.question
    others = [("mirror", made.scene.mirrored(), made.case)]
    if family.swappable:
        others.append(("swap", made.scene, made.case.swapped()))
    found = []
    for kind, scene, case in others:
        answer = family.solve(scene, case)
        if answer is None or answer == base.answer:
            continue
        rng = random.Random(f"{base.id}/{kind}")
        pair = _tell(family, scene, case, rng, base.split, f"{base.id}-{kind}", made.wording)
        update = {"pair": base.id, "pair_kind": kind, "scene": base.scene}
        found.append(replace(pair, question=pair.question.model_copy(update=update)))
    return found


def _ask(family: Family, turn: int, rng: random.Random, split: Split, name: str) -> SceneQuestion:
    while True:
        scene = random_scene(rng, frame=0.8 if family.name.endswith("region") else 0.35)
        first = next(family.cases(scene, rng), None)
        if first is None:
            continue
        # The first case fixes what the wording says (its variant and slots); its possible answers take turns.
        want = turn % len(family.wants(first))
        for _ in range(_TRIES):
            case = _with_answer(family, scene, rng, want, like=first)
            if case:
                return _tell(family, scene, case, rng, split, name)
            scene = random_scene(rng, frame=1.0 if scene.region else 0.0)


def _with_answer(family: Family, scene: Scene, rng: random.Random, want: int, like: Case | None = None) -> Case | None:
    for case in family.cases(scene, rng):
        if like and (case.variant, case.slots) != (like.variant, like.slots):
            continue
        if family.solve(scene, case) == family.wants(case)[want]:
            return case
    return None


def _find_case(family: Family, scene: Scene, rng: random.Random) -> Case | None:
    first = next(family.cases(scene, rng), None)
    return first and _with_answer(family, scene, rng, rng.randrange(len(family.wants(first))), like=first)


def _tell(
    family: Family, scene: Scene, case: Case, rng: random.Random, split: Split, name: str, wording: int | None = None
) -> SceneQuestion:
    answer = family.solve(scene, case)
    assert answer is not None, (family.name, case)
    if wording is None:
        wording = rng.randrange(wordings(case, family.name))
    text = question_text(case, family.name, wording)
    wants = family.wants(case)
    answer_type = family.answer_type(case)
    options = () if answer_type in ("yes_no", "number") else wants
    chain = Chain(scene, split, rng)
    family.tell(chain, case)
    question = Question(
        id=name,
        source="scenes",
        split=split,
        family=family.name,
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
