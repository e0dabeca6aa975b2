"""Number and place of each function's heads, and their differences between functions: `results/counts.csv`.

Two functions' heads differ in place only if they differ more than those of *one* function in two halves of its scenes; the
interval is 1.96 standard deviations over random splits (the delete-half jackknife). They differ in number only if they do more
than those of one function in two resamples of its scenes, at full size, because half of the scenes is often too little to find
heads that share a function; the interval is that of a jackknife over groups of scenes.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.results import RESULTS
from headatlas.scoring.base import PerSample, Scores
from headatlas.scoring.resample import bootstrap_masks, counts_of, half_masks, limits
from headatlas.scoring.select import selected_masks
from headatlas.stats import half_width

N_SPLITS = 200
LEAST_FUNCTIONS = 3
"""Functions with heads that are needed to compare places or numbers."""

N_GROUPS = 20
"""Groups of scenes that are left out in turn for the interval of `number`."""

N_RESAMPLES = 200
"""Resamples of the scenes over which `number` is averaged."""


def counts_table(
    scores: Scores, fewest: pd.DataFrame, seed: int, n_boot: int = 1_000, selector: str = "functional"
) -> pd.DataFrame:
    """Rows of results/counts.csv for one scorer.

    `share`: of all heads, selected for a function (one row per function, 0..1). `place`: split-half Jaccard index of a function
    with itself less that of two functions. `number`: mean difference in the number of heads between two functions less that
    between two resamples of one. `spatial_minus_other`: from `fewest`. There are no rows if the selector chose no head, and none
    of `place` and `number` without per-step scores or with fewer than `LEAST_FUNCTIONS` functions that have heads.

    Args:
        scores: of one scorer.
        fewest: rows of results/fewest.csv of the scorer.
        seed: of the resamples.
        n_boot: resamples for the intervals of shares.
        selector: whose sets are counted.
    """
    samples = scores.per_sample
    chosen = selected_masks(scores, selector)
    if not chosen.any():  # a share of 0 is lack of evidence, not sparseness
        return RESULTS["counts"].empty()
    halves = np.full(len(FUNCTIONS), np.nan)
    pairs = np.zeros(len(FUNCTIONS), int)
    limit = limits(scores)
    if samples is not None:
        pairs = np.bincount(samples.function, minlength=len(FUNCTIONS))
        drawn = bootstrap_masks(samples, limit, n_boot, seed)
        halves = np.where(drawn.present, half_width(drawn.masks.mean((2, 3))), np.nan)
    rows = []
    for index, function in enumerate(FUNCTIONS):
        n = int(pairs[index])
        if n or samples is None:  # a function without steps was not scored
            value = float(chosen[index].mean())
            low, high = np.clip([value - halves[index], value + halves[index]], 0, 1)
            rows.append(("share", function, value, low, high, np.nan, n))
    if samples is not None:
        one, two = half_masks(samples, limit, N_SPLITS, seed)
        draws = place_apart(one.masks, two.masks, one.present)
        apart = {}
        if draws is not None:
            apart["place"] = (float(np.mean(draws)), float(half_width(draws)))
        number = number_apart(samples, limit, seed)
        if number is not None:
            apart["number"] = number
        for what, (value, half) in apart.items():
            rows.append((what, "", value, value - half, value + half, np.nan, int(pairs.sum())))
    both = fewest[(fewest["spatial"] == "both") & (fewest["other"].fillna("") == "")]
    if len(both):
        row = both.iloc[0]
        rows.append(("spatial_minus_other", "", row["difference"], row["low"], row["high"], row["p"], int(row["n"])))
    table = pd.DataFrame(rows, columns=["what", "function", "value", "low", "high", "p", "n"])
    table.insert(0, "scorer", scores.name)
    return table


def place_apart(
    one: Bool[np.ndarray, "B F L H"], two: Bool[np.ndarray, "B F L H"], present: Bool[np.ndarray, " F"]
) -> Float[np.ndarray, " _kept"] | None:
    """Jaccard index of a function with itself in the other half less that of two functions, by split.

    Splits in which fewer than `LEAST_FUNCTIONS` functions have heads in both halves are left out; None if that is half of them or
    more.
    """
    apart = []
    for a, b in zip(one, two, strict=True):
        filled = [c for c in np.flatnonzero(present) if a[c].any() and b[c].any()]
        if len(filled) < LEAST_FUNCTIONS:
            continue
        same = np.mean([_jaccard(a[c], b[c]) for c in filled])
        other = np.mean([_jaccard(a[c], b[d]) for c, d in permutations(filled, 2)])
        apart.append(same - other)
    return np.array(apart) if len(apart) > len(one) / 2 else None


def number_apart(samples: PerSample, limit: Float[np.ndarray, " F"], seed: int) -> tuple[float, float] | None:
    """How much more two functions differ in the number of heads than one function does between two resamples of its scenes.

    Returns:
        The mean difference, heads, and half of its 95 % interval, which is rather wide than narrow, because it contains the noise
        of resampling. Functions without a head in most resamples are left out; None if that leaves fewer than `LEAST_FUNCTIONS`,
        or if one of them has too few scenes.
    """
    counts = counts_of(bootstrap_masks(samples, limit, N_RESAMPLES, seed))
    there = np.median(counts, axis=0) > 0  # not so where it is NaN, for functions that are not present
    if there.sum() < LEAST_FUNCTIONS:
        return None
    scenes = np.unique(samples.cluster)
    n_groups = min(N_GROUPS, len(scenes))
    dealt = np.random.default_rng([seed, 9]).permutation(len(scenes)) % n_groups
    group = dealt[np.searchsorted(scenes, samples.cluster)]
    without = np.zeros(n_groups)
    for g in range(n_groups):
        kept = group != g
        rest = PerSample(samples.values[kept], samples.function[kept], samples.cluster[kept])
        without[g] = _apart(counts_of(bootstrap_masks(rest, limit, N_RESAMPLES, seed))[:, there])
    if not np.isfinite(without).all():  # a function has so few scenes that it is missing without one group
        return None
    # The jackknife's standard error, as a multiple of the standard deviation of the values.
    scale = (n_groups - 1) / np.sqrt(n_groups)
    return _apart(counts[:, there]), float(scale * half_width(without))


def _apart(counts: Float[np.ndarray, "B F"]) -> float:
    """Mean difference between two functions in two resamples less that between two resamples of one function."""
    other = np.roll(counts, 1, axis=0)
    apart = np.abs(counts[:, :, None] - other[:, None, :])
    same = np.eye(counts.shape[1], dtype=bool)
    return float(apart[:, ~same].mean() - apart[:, same].mean())


def _jaccard(a: Bool[np.ndarray, "L H"], b: Bool[np.ndarray, "L H"]) -> float:
    return float((a & b).sum() / (a | b).sum())
