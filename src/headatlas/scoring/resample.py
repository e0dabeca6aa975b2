"""Repeat the selection in resamples of the scenes, for the uncertainty of the number and place of a function's heads.

A resample selects like the selector `functional`, as far as is possible without scoring again: a head counts if the lower bound
of its mean, *within the resample*, lies above the function's limit (`limits`). The bound is one-sided and holds for all heads of
the model at once (95 %, Bonferroni), so that heads without effect are rarely counted. It is computed from `Scores.per_sample`, so
any scorer whose score is a mean over steps can be resampled.

A function with more steps has narrower bounds, so more of its heads would count. Therefore all functions are resampled at equal
numbers of steps, those of the function with the fewest. Probes are not refitted: the uncertainty of fitting them is not included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float

from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import PerSample, Scores
from headatlas.scoring.functional import least_effect, twin_limits

NULL_QUANTILE = 0.95


def limits(scores: Scores) -> Float[np.ndarray, " F"]:
    """What a head's lower bound must exceed: the least effect, the best head of the untrained twin, and the 95 % quantile of
    the null over all heads, whichever is largest; in the scorer's unit, never below 0."""
    out = np.full(len(scores.values), least_effect(scores))
    twin = twin_limits(scores)
    out = out if twin is None else np.maximum(out, twin)
    if scores.null is not None and len(scores.null):
        out = np.maximum(out, np.quantile(scores.null, NULL_QUANTILE, axis=(0, 2, 3)))
    return np.maximum(out, 0.0)


@dataclass(frozen=True)
class Resampled:
    """Which heads count in each resample; False throughout for functions without two scenes, see `present`.

    `steps`: steps of each function in a resample, on average.
    """

    masks: Bool[np.ndarray, "B F L H"]
    present: Bool[np.ndarray, " F"]
    steps: int


def bootstrap_masks(
    samples: PerSample, limit: Float[np.ndarray, " F"], n_boot: int = 1_000, seed: int = 0
) -> Resampled:
    """Resamples with replacement: for each function, as many scenes as have the wanted number of steps on average."""
    rng = np.random.default_rng(seed)
    functions, steps = _by_function(samples, len(limit))
    masks = np.zeros((n_boot, len(limit), *samples.values.shape[1:]), dtype=bool)
    for c, function in enumerate(functions):
        if function is None:
            continue
        k = len(function.sizes)
        draws = max(2, round(k * steps / function.sizes.sum()))
        weights = rng.multinomial(draws, np.full(k, 1 / k), size=n_boot).astype(float)
        masks[:, c] = function.above(weights, limit[c]).reshape(n_boot, *samples.values.shape[1:])
    return Resampled(masks, np.array([function is not None for function in functions]), steps)


def half_masks(
    samples: PerSample, limit: Float[np.ndarray, " F"], n: int = 200, seed: int = 0
) -> tuple[Resampled, Resampled]:
    """Both halves of `n` random splits of each function's scenes, without replacement, at equal numbers of steps."""
    rng = np.random.default_rng(seed)
    functions, steps = _by_function(samples, len(limit))
    shape = (n, len(limit), *samples.values.shape[1:])
    halves = (np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))
    present = np.zeros(len(limit), dtype=bool)
    for c, function in enumerate(functions):
        if function is None:
            continue
        k = len(function.sizes)
        each = max(2, round(k * steps / function.sizes.sum() / 2))
        if 2 * each > k:
            continue
        present[c] = True
        order = np.argsort(rng.random((n, k)), axis=1)
        for half, columns in zip(halves, (order[:, :each], order[:, each : 2 * each]), strict=True):
            weights = np.zeros((n, k))
            np.put_along_axis(weights, columns, 1.0, axis=1)
            half[:, c] = function.above(weights, limit[c]).reshape(n, *shape[2:])
    return Resampled(halves[0], present, steps // 2), Resampled(halves[1], present, steps // 2)


@dataclass(frozen=True)
class _Function:
    """Sums over each of K scenes of one function: of the values of J heads, and of steps."""

    sums: Float[np.ndarray, "K J"]
    sizes: Float[np.ndarray, " K"]

    def above(self, weights: Float[np.ndarray, "B K"], limit: float) -> Bool[np.ndarray, "B J"]:
        """Whether the lower bound of each head's mean lies above `limit`, with scenes counted `weights` times."""
        draws = weights.sum(1, keepdims=True)
        n = (weights @ self.sizes)[:, None]
        mean = (weights @ self.sums) / n
        squares = weights @ self.sums**2 - 2 * mean * (weights @ (self.sums * self.sizes[:, None]))
        squares += mean**2 * (weights @ self.sizes**2)[:, None]
        error = np.sqrt(np.clip(draws / np.maximum(draws - 1, 1) * squares, 0, None)) / n
        return mean - scipy.stats.norm.ppf(1 - 0.05 / mean.shape[1]) * error > limit


def _by_function(samples: PerSample, n_functions: int) -> tuple[list[_Function | None], int]:
    """The sums of each function with at least two scenes, and the number of steps of the one that has the fewest."""
    out: list[_Function | None] = []
    flat = samples.values.reshape(len(samples.values), -1).astype(np.float64)
    for c in range(n_functions):
        rows = np.flatnonzero(samples.function == c)
        scenes, place = np.unique(samples.cluster[rows], return_inverse=True)
        if len(scenes) < 2:
            out.append(None)
            continue
        sums = np.zeros((len(scenes), flat.shape[1]))
        np.add.at(sums, place, flat[rows])
        out.append(_Function(sums, np.bincount(place, minlength=len(scenes)).astype(float)))
    steps = [int(function.sizes.sum()) for function in out if function is not None]
    return out, min(steps, default=0)


def samples_of(scores: Scores) -> PerSample:
    """The per-step scores. Raises `HeadAtlasError` where the scorer gave none."""
    if scores.per_sample is None:
        raise HeadAtlasError(
            f"scorer {scores.name!r} gave no per-step scores to resample; set `per_sample` in its Scores"
        )
    return scores.per_sample


def counts_of(drawn: Resampled) -> Float[np.ndarray, "B F"]:
    """How many heads each function has in every resample; NaN for functions that are not present."""
    counts = drawn.masks.sum((2, 3)).astype(np.float64)
    counts[:, ~drawn.present] = np.nan
    return counts
