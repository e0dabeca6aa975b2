"""The data sources `scenes` and `scenes-pairs`: rendered boards with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterable

from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.sources import source
from headatlas.errors import HeadAtlasError


@source("scenes")
def scenes(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """`n` questions about procedural scenes, the same for the same seed; an unknown split raises `HeadAtlasError`."""
    return _build(n, seed, splits, pairs=False)


@source("scenes-pairs")
def scenes_pairs(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """The same questions, each followed by its minimal pairs: asked of the mirrored scene, or with two things swapped.

    A pair's `pair` names its question; it shares that question's split and `scene`.
    """
    return _build(n, seed, splits, pairs=True)


def _build(n: int, seed: int, splits: tuple[str, ...], pairs: bool) -> Iterable[Question]:
    # Imported here, because question types and renderer are not needed to open a stored dataset.
    from headatlas.scenes.build import SHARES, build

    unknown = [split for split in splits if split not in SHARES]
    if unknown or not splits:
        got = repr(unknown[0]) if unknown else "none"
        raise HeadAtlasError(f"splits must be one or more of {', '.join(SHARES)}, got {got}")
    return build(n, seed, splits, pairs)
