"""The selector `functional`: heads with an effect beyond chance, above a least effect, and above the untrained model's.

A head is functional if

* its score beats the scorer's null (Benjamini-Hochberg over heads and functions);
* the lower bound of its score lies above the least effect (`Scorer.least`): unlike significance, this does not grow with
  the number of questions. The bound is one-sided, 95 %, with scenes as the independent unit;
* its score is above that of every head of the untrained twin, where the twin was scored: a score that random weights reach
is not a result of training.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from jaxtyping import Float

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.scoring.base import SCORERS, PerSample, Scores, function_index
from headatlas.scoring.select import NO_P, ranked, rejected, selector, too_coarse

TWIN = "twin"
"""Name in `Scores.arrays` of the untrained twin's scores, [F, L, H], or of the largest of each function, [F]."""

ONE_SIDED = float(scipy.stats.norm.ppf(0.95))


@selector("functional")
def by_effect(scores: Scores, function: str, q: float = 0.05, least: float | None = None) -> HeadSet:
    """Heads that beat the null, the least effect and the untrained twin (see the module's docstring).

    Args:
        scores: with p-values; with per-step scores where a least effect is asked for.
        function: name of the function.
        q: rate of Benjamini-Hochberg.
        least: the least effect, in the scorer's unit, >= 0; None: the scorer's own.

    Raises:
        HeadAtlasError: a negative `least`, or one that is asked for without per-step scores.
    """
    if scores.pvalues is None:
        return HeadSet((), f"selector 'functional' needs p-values, and scorer {scores.name!r} gave none: {NO_P}")
    if least is not None and least < 0:
        raise HeadAtlasError(f"least must be >= 0, got {least}")
    if least and scores.per_sample is None:
        raise HeadAtlasError(f"least needs per-step scores, and scorer {scores.name!r} gave none; use least=0")
    index = function_index(function)
    beats = rejected(scores, q)[index] & (scores.values[index] > 0)
    floor = least_effect(scores) if least is None else least
    large = beats & (lower_bounds(scores.per_sample, len(scores.values))[index] > floor) if scores.per_sample else beats
    chosen = large
    twin = twin_limits(scores)
    if twin is not None:
        chosen = large & (scores.values[index] > twin[index])
    reason = ""
    if not chosen.any():
        unit = SCORERS[scores.name].unit if scores.name in SCORERS else ""
        n, m = int(beats.sum()), int(large.sum())
        reason = f"{n or 'no'} {'head scores' if n <= 1 else 'heads score'} above chance"
        if not n:
            reason += too_coarse(scores, q)
        else:
            reason += f", {m or 'none'} of them surely by more than {floor:g} {unit}".rstrip()
        if large.any() and twin is not None:
            reason += f", none of which scores above the untrained twin's {twin[index]:.3g}"
    return ranked(scores, function, chosen, reason)


def least_effect(scores: Scores) -> float:
    """The least effect, in the unit of the scores: the one they were tested with (`info["margin"]`), else the scorer's; 0 for
    none."""
    if "margin" in scores.info:
        return float(scores.info["margin"])
    return SCORERS[scores.name].least if scores.name in SCORERS else 0.0


def lower_bounds(samples: PerSample, n_functions: int) -> Float[np.ndarray, "F L H"]:
    """One-sided 95 % lower bound of the mean over each function's rows; -inf with fewer than two scenes.

    The standard error is that of a ratio of sums over scenes (linearised), with K / (K - 1) for K scenes.
    """
    out = np.full((n_functions, *samples.values.shape[1:]), -np.inf)
    for c in range(n_functions):
        rows = samples.function == c
        scenes, place = np.unique(samples.cluster[rows], return_inverse=True)
        if len(scenes) < 2:
            continue
        values = samples.values[rows].astype(np.float64)
        mean = values.mean(0)
        sums = np.zeros((len(scenes), *values.shape[1:]))
        np.add.at(sums, place, values - mean)
        error = np.sqrt(len(scenes) / (len(scenes) - 1) * (sums**2).sum(0)) / len(values)
        out[c] = mean - ONE_SIDED * error
    return out


def twin_limits(scores: Scores) -> Float[np.ndarray, " F"] | None:
    """The largest score of any head of the untrained twin, by function; None where the twin was not scored."""
    twin = scores.arrays.get(TWIN)
    return None if twin is None else twin.reshape(len(scores.values), -1).max(1)
