"""The data sources `scenes`, `scenes-english` and `scenes-pairs`: rendered boards with exact ground truth."""

from __future__ import annotations

import random
from collections.abc import Iterable

from headatlas.cogvsr.enough import shares_of
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.sources import SOURCE_FACTS, SourceFacts, source

SOURCE_FACTS.add("scenes", SourceFacts("HeadAtlas scenes", "Apache-2.0", True, "rendered by HeadAtlas", "derived"))


@source("scenes")
def scenes(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """`n` questions about procedural scenes, the same for the same seed; an unknown split raises `HeadAtlasError`."""
    return _build(n, seed, splits, pairs=False)


SOURCE_FACTS.add(
    "scenes-english", SourceFacts("HeadAtlas scenes in English", "Apache-2.0", True, "rendered by HeadAtlas", "derived")
)


@source("scenes-english")
def scenes_english(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """The questions of `scenes` in natural English, for models with a pretrained language model.

    "How many circles are there?" instead of "how many things are a circle?". A third of the wordings occur in split E only.
    """
    return map(_in_english, _build(n, seed, splits, pairs=False))


@source("scenes-pairs")
def scenes_pairs(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """The same questions, each followed by its minimal pairs: asked of the mirrored scene, or with two things swapped.

    A pair's `pair` names its question; it shares that question's split and `scene`.
    """
    return _build(n, seed, splits, pairs=True)


def _in_english(question: Question) -> Question:
    from headatlas.scenes.wording import reword

    asked = reword(question, random.Random(f"words/{question.id}"), "all" if question.split == "E" else "train")
    return asked.model_copy(update={"source": "scenes-english"})


def _build(n: int, seed: int, splits: tuple[str, ...], pairs: bool) -> Iterable[Question]:
    # Imported here, because question types and renderer are not needed to open a stored dataset.
    from headatlas.scenes.build import build

    shares_of(splits)
    return build(n, seed, splits, pairs)
