"""The two tests of an idle head: the function can be decoded from it, and removing it changes nothing.

Decodable: p after Benjamini-Hochberg over heads. No effect: the exact causal effect is shown to lie within +-delta of zero
(two one-sided tests); an effect that is merely not significant does not count as none. `latent_heads` adds the third part of what
makes a head latent: a method under which it has an effect.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from headatlas import stats
from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import Scores, function_index

DELTA = {"logprob": 0.05, "accuracy": 0.02}
"""Effects up to this much (nats; share of steps) count as none, by the measure of the ablation scores."""

LEVEL = 0.05


def decodable_mask(scores: Scores, function: str, q: float = LEVEL) -> Bool[np.ndarray, "L H"]:
    """Heads whose p for `function` survives Benjamini-Hochberg over heads."""
    index = function_index(function)
    if scores.pvalues is None:
        raise HeadAtlasError(f"scores of {scores.name!r} have no p-values; score with n_null > 0")
    p = scores.pvalues[index]
    return (stats.benjamini_hochberg(p.ravel()) <= q).reshape(p.shape)


def equivalence_p(effect: Scores, function: str, delta: float) -> Float[np.ndarray, "L H"]:
    """p of the two one-sided tests that a head's mean effect lies within +-delta, for every head; a small p means that it does.

    Questions are the independent units (`stats.tost`).

    Raises:
        HeadAtlasError: no per-step values, or fewer than two questions with a step of the function.
    """
    if effect.per_sample is None:
        raise HeadAtlasError(f"scores of {effect.name!r} have no per-step values, which the equivalence test needs")
    rows = effect.per_sample.function == function_index(function)
    questions = effect.per_sample.cluster[rows]
    count = len(np.unique(questions))
    if count < 2:
        raise HeadAtlasError(f"at least 2 questions with a step of {function} are needed, got {count}")
    losses = effect.per_sample.values[rows].astype(np.float64)
    flat = [stats.tost(column, questions, delta) for column in losses.reshape(len(losses), -1).T]
    return np.array(flat).reshape(losses.shape[1:])
