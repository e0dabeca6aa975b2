"""Number and place of each function's heads, and their differences between functions: `results/counts.csv`.

Two functions' heads differ in place or number only if they differ more than those of *one* function in two halves of its scenes.
That split-half value is the best that noise allows. Intervals are 1.96 standard deviations over random splits (the delete-half
jackknife).
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores
from headatlas.scoring.resample import bootstrap_masks, half_masks, limits
from headatlas.scoring.select import selected_masks
from headatlas.stats import half_width

N_SPLITS = 200
LEAST_FUNCTIONS = 3
"""Functions with heads in both halves that are needed to compare places."""


def counts_table(
    scores: Scores, fewest: pd.DataFrame, seed: int, n_boot: int = 1_000, selector: str = "functional"
) -> pd.DataFrame:
    """Rows of results/counts.csv for one scorer.

    `share`: of all heads, selected for a function (one row per function, 0..1). `place`: split-half Jaccard index of a function
    with itself less that of two functions. `number`: mean difference in the number of heads between two functions less that
    between two halves of one. `spatial_minus_other`: from `fewest`. There are no rows if the selector chose no head, and none of
    `place` and `number` without per-step scores or with fewer than `LEAST_FUNCTIONS` functions that have heads.

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
    if samples is not None:
        pairs = np.bincount(samples.function, minlength=len(FUNCTIONS))
        drawn = bootstrap_masks(samples, limits(scores), n_boot, seed)
        halves = np.where(drawn.present, half_width(drawn.masks.mean((2, 3))), np.nan)
    rows = []
    for index, function in enumerate(FUNCTIONS):
        n = int(pairs[index])
        if n or samples is None:  # a function without steps was not scored
            value = float(chosen[index].mean())
            low, high = np.clip([value - halves[index], value + halves[index]], 0, 1)
            rows.append(("share", function, value, low, high, np.nan, n))
    if samples is not None:
        one, two = half_masks(samples, limits(scores), N_SPLITS, seed)
        for what, draws in differences(one.masks, two.masks, one.present).items():
            value, half = float(np.mean(draws)), float(half_width(draws))
            rows.append((what, "", value, value - half, value + half, np.nan, int(pairs.sum())))
    both = fewest[(fewest["spatial"] == "both") & (fewest["other"].fillna("") == "")]
    if len(both):
        row = both.iloc[0]
        rows.append(("spatial_minus_other", "", row["difference"], row["low"], row["high"], row["p"], int(row["n"])))
    table = pd.DataFrame(rows, columns=["what", "function", "value", "low", "high", "p", "n"])
    table.insert(0, "scorer", scores.name)
    return table


def differences(
    one: Bool[np.ndarray, "B F L H"], two: Bool[np.ndarray, "B F L H"], present: Bool[np.ndarray, " F"]
) -> dict[str, Float[np.ndarray, " _kept"]]:
    """How much more functions differ from each other than from themselves in the other half, by split: place and number.

    Splits in which fewer than `LEAST_FUNCTIONS` functions have heads in both halves are left out; empty if that is more than
    half of them.
    """
    place, number = [], []
    for a, b in zip(one, two, strict=True):
        filled = [c for c in np.flatnonzero(present) if a[c].any() and b[c].any()]
        if len(filled) < LEAST_FUNCTIONS:
            continue
        same = np.mean([_jaccard(a[c], b[c]) for c in filled])
        other = np.mean([_jaccard(a[c], b[d]) for c, d in permutations(filled, 2)])
        place.append(same - other)
        sizes_a, sizes_b = a.sum((1, 2)), b.sum((1, 2))
        here = np.flatnonzero(present)
        apart = np.mean([abs(int(sizes_a[c]) - int(sizes_b[d])) for c, d in permutations(here, 2)])
        number.append(apart - np.mean([abs(int(sizes_a[c]) - int(sizes_b[c])) for c in here]))
    if len(place) <= len(one) / 2:
        return {}
    return {"place": np.array(place), "number": np.array(number)}


def _jaccard(a: Bool[np.ndarray, "L H"], b: Bool[np.ndarray, "L H"]) -> float:
    return float((a & b).sum() / (a | b).sum())
