"""Latent heads: a function can be read from them, and yet the model does without them (method.md (d)).

Latent = significantly decodable (a scorer such as A2, p after BH) *and* exact causal effect within +-delta of zero
(TOST).
Absence of evidence is not enough: a head whose effect is merely not significant is not latent. Knows scores and
measured damage; runs no model.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from headatlas import stats
from headatlas.cogvsr.functions import check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.scoring.ablation import Measure, SingleHeadDamage
from headatlas.scoring.base import Scores, function_index, labels_of

DELTA = {"logprob": 0.05, "accuracy": 0.02}
"""Effects up to this much (nats; share of steps) are taken for none."""

LEVEL = 0.05


def latent_heads(
    decodable: Scores,
    damage: SingleHeadDamage,
    function: str,
    delta: float | None = None,
    measure: Measure = "logprob",
    q: float = LEVEL,
) -> HeadSet:
    """The latent heads of `function`, most decodable first.

    Args:
        decodable: Scores with p-values of how well the function is read from each head (`linear`).
        damage: Measured single-head damage (`single_head_damage`).
        function: One of the eight.
        delta: Half-width of what counts as no effect, in the measure's unit; default `DELTA`.
        measure: `logprob` or `accuracy`.
        q: False discovery rate of decodability over heads, and level of the equivalence test.

    Returns:
        Heads, possibly none; `reason` tells how many passed each half.

    Raises:
        HeadAtlasError: Unknown function, scores without p-values, another grid, no step of the function, or delta <= 0.
    """
    check_function(function)
    if decodable.pvalues is None:
        raise HeadAtlasError(f"scores of {decodable.name!r} have no p-values: score with n_null > 0")
    if decodable.shape != damage.logprob.shape[1:]:
        raise HeadAtlasError(f"expected damage of {decodable.shape} heads, came {damage.logprob.shape[1:]}")
    width = DELTA[measure] if delta is None else delta
    if width <= 0:
        raise HeadAtlasError(f"expected delta > 0, came {width}")
    readable = decodable_mask(decodable, function, q)
    idle = equivalence_p(damage, function, width, measure) < q
    both = HeadSet.from_mask(readable & idle)
    values = decodable.of(function)
    reason = (
        f"{len(both)} latent: {int(readable.sum())} heads decodable ({decodable.name}, BH q = {q:g}), "
        f"{int(idle.sum())} without effect (|{measure}| < {width:g}, TOST)"
    )
    ranked: list[Head] = sorted(both, key=lambda head: -values[head.layer, head.head])
    return HeadSet(ranked, reason=reason)


def decodable_mask(scores: Scores, function: str, q: float = LEVEL) -> Bool[np.ndarray, "L H"]:
    """Heads whose p for `function` survives Benjamini-Hochberg over heads. Scores must have p-values."""
    assert scores.pvalues is not None
    p = scores.pvalues[function_index(function)]
    return (stats.bh(p.ravel()) <= q).reshape(p.shape)


def equivalence_p(
    damage: SingleHeadDamage, function: str, delta: float, measure: Measure = "logprob"
) -> Float[np.ndarray, "L H"]:
    """p of the two one-sided tests that every head's mean loss lies within +-delta; small means it does.

    Questions are the independent units (`stats.tost`).

    Raises:
        HeadAtlasError: Fewer than two questions have a step of the function.
    """
    rows = labels_of(damage.steps)[:, function_index(function)]
    questions = damage.clusters[rows]
    count = len(np.unique(questions))
    if count < 2:
        raise HeadAtlasError(f"expected at least 2 questions with a step of {function}, came {count}")
    losses = damage.of(measure)[rows].astype(np.float64)
    flat = [stats.tost(column, questions, delta) for column in losses.reshape(len(losses), -1).T]
    return np.array(flat).reshape(losses.shape[1:])
