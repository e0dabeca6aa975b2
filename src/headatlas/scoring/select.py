"""Selectors, which turn scores into head sets, and their registry.

`functional` (in `functional.py`) is the default of a study; `null` is its first part. The others reproduce the literature and
always select something, even from pure noise. The `reason` of an empty set says why it is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool
from kneed import KneeLocator

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.registry import Registry
from headatlas.scoring.base import Scores, function_index
from headatlas.stats import benjamini_hochberg

Selector = Callable[..., HeadSet]
"""`f(scores: Scores, function: str, **options) -> HeadSet`, best head first."""

SELECTORS: Registry[Selector] = Registry("selector", ("headatlas.scoring.*",))
"""All selectors by name. A new one is a function with `@selector("name")` in a new file here, or in another package."""


def selector(name: str) -> Callable[[Selector], Selector]:
    """Decorator that registers a function `f(scores: Scores, function: str, **options) -> HeadSet` as a selector."""
    return SELECTORS.register(name)


def selectors() -> tuple[str, ...]:
    """Names of all selectors."""
    return tuple(SELECTORS)


def select(scores: Scores, function: str, selector: str = "null", **options: Any) -> HeadSet:
    """The heads of a function by a registered selector, best first; the `reason` of an empty set says why it is empty.

    Raises `HeadAtlasError` for an unknown selector, function or option.
    """
    chosen = SELECTORS[selector]
    function_index(function)
    if function in scores.info.get("absent", ()):
        return HeadSet((), f"none or all of the steps scored need this function, so {scores.name!r} cannot score it")
    try:
        heads = chosen(scores, function, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise HeadAtlasError(f"selector {selector!r}: {error}") from error
        raise
    return heads if isinstance(heads, HeadSet) else HeadSet(heads)


def selected_masks(scores: Scores, selector: str = "null") -> Bool[np.ndarray, "F L H"]:
    """Which heads a selector chooses for every function."""
    return np.stack([select(scores, function, selector).mask(scores.shape, scores.tower) for function in FUNCTIONS])


def ranking(scores: Scores, function: str) -> list[Head]:
    """All heads, highest score first; equal scores by layer and head."""
    values = scores.of(function)
    order = np.argsort(-values.ravel(), kind="stable")
    return [Head(int(i) // values.shape[1], int(i) % values.shape[1], scores.tower) for i in order]


def rejected(scores: Scores, q: float = 0.05) -> Bool[np.ndarray, "F L H"]:
    """Heads that pass Benjamini-Hochberg at rate `q` over all heads x functions. Raises when there are no p-values."""
    if scores.pvalues is None:
        raise HeadAtlasError(f"p-values are needed, and scorer {scores.name!r} gave none: {NO_P}")
    if not 0 < q < 1:
        raise HeadAtlasError(f"q must be > 0 and < 1, got {q}")
    adjusted = benjamini_hochberg(scores.pvalues.ravel())
    return (adjusted <= q).reshape(scores.pvalues.shape)


NO_P = "score with n_null > 0, or use selector 'elbow'"


@selector("null")
def by_null(scores: Scores, function: str, q: float = 0.05) -> HeadSet:
    """Heads that beat the null: p against each head's own null, Benjamini-Hochberg `q` over heads x functions, score > 0."""
    if scores.pvalues is None:
        return HeadSet((), f"selector 'null' needs p-values, and scorer {scores.name!r} gave none: {NO_P}")
    index = function_index(function)
    mask = rejected(scores, q)[index] & (scores.values[index] > 0)
    reason = ""
    if not mask.any():
        least = float(scores.pvalues[index].min())
        tests = scores.pvalues.size
        reason = f"no head beats the null after Benjamini-Hochberg q={q:g} over {tests} tests (least p {least:.2g})"
        reason += too_coarse(scores, q)
        movable = scores.info.get("movable")
        if movable and movable[index] == 0:
            reason += (
                "; every question with as many steps has it at the same place, so exchanging labels cannot move them"
            )
    return ranked(scores, function, mask, reason)


@selector("elbow")
def by_elbow(scores: Scores, function: str, sensitivity: float = 1.0) -> HeadSet:
    """Heads before the knee (Kneedle, `kneed`) of the sorted scores, as the paper does. Picks heads in noise too."""
    values = np.sort(scores.of(function).ravel())[::-1]
    if np.ptp(values) == 0:
        return HeadSet((), "all heads have the same score: there is no elbow")
    knee = KneeLocator(np.arange(len(values)), values, S=sensitivity, curve="convex", direction="decreasing").knee
    if knee is None:
        return HeadSet((), f"Kneedle finds no elbow in the sorted scores (sensitivity {sensitivity:g})")
    # The knee is the first head on the flat part; at rank 0 the first head alone stands out.
    return HeadSet(ranking(scores, function)[: max(1, int(knee))])


@selector("top_k")
def by_top_k(scores: Scores, function: str, k: int = 5) -> HeadSet:
    """The `k` heads of highest score."""
    total = scores.shape[0] * scores.shape[1]
    if not 1 <= k <= total:
        raise HeadAtlasError(f"k must be in 1..{total} heads, got {k}")
    return HeadSet(ranking(scores, function)[:k])


@selector("top_share")
def by_top_share(scores: Scores, function: str, share: float = 0.1) -> HeadSet:
    """The `share` (0..1) of heads of highest score, at least one."""
    if not 0 < share <= 1:
        raise HeadAtlasError(f"share must be > 0 and <= 1, got {share}")
    total = scores.shape[0] * scores.shape[1]
    return HeadSet(ranking(scores, function)[: max(1, round(share * total))])


@selector("threshold")
def by_threshold(scores: Scores, function: str, above: float = 0.001) -> HeadSet:
    """Heads of score > `above`, in the scorer's unit (0.001 is the paper's, for its probe)."""
    mask = scores.of(function) > above
    reason = "" if mask.any() else f"no score is above {above:g} (highest {float(scores.of(function).max()):.3g})"
    return ranked(scores, function, mask, reason)


def ranked(scores: Scores, function: str, mask: Bool[np.ndarray, "L H"], reason: str) -> HeadSet:
    """The heads of a mask, best first."""
    return HeadSet([head for head in ranking(scores, function) if mask[head.layer, head.head]], reason)


def too_coarse(scores: Scores, q: float) -> str:
    """The end of a sentence, where the null is too small for a single head to pass at rate `q`; else empty."""
    floor = _floor(scores)
    if scores.pvalues is None or floor * scores.pvalues.size <= q:
        return ""
    return f"; this null gives no p below {floor:.2g}, which is too large for a single head: raise n_null"


def _floor(scores: Scores) -> float:
    """The smallest p that a null pooled over heads (and functions, where `info` says so) can give; 0 without the null."""
    if scores.null is None:
        return 0.0
    repeats, functions, layers, heads = scores.null.shape
    return 1 / (repeats * layers * heads * (functions if scores.info.get("pooled_over") == "all" else 1) + 1)
