"""Numbers of heads of spatial functions compared with those of others, by a cluster bootstrap at equal numbers of steps.

Works from `Scores.per_sample`, so any scorer whose score is a mean over steps is counted again without being run again.

A function with more steps has steadier scores, so more of its heads pass a test. Therefore every resample draws whole
main questions with replacement, then the same number of steps of every function (that of the smallest), takes the mean
again and counts the heads above the function's threshold: the least score that the selector accepted. Counts of noisy
means are too high, by the same noise for all functions: read the differences, not the counts. The probe is not refitted,
so the uncertainty of fitting it is not in the interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS
from headatlas.scoring.base import PerSample, Scores
from headatlas.scoring.select import selected_masks


def thresholds(scores: Scores, selector: str = "null") -> Float[np.ndarray, " F"]:
    """The least score of each function that the selector accepts, in the scorer's unit.

    Where it accepts a head, that is the midpoint between the lowest accepted and the next lower score (at least 0);
    where it accepts none, the highest score.
    """
    accepted = selected_masks(scores, selector)
    out = np.zeros(len(scores.values))
    for c, (values, inside) in enumerate(zip(scores.values, accepted, strict=True)):
        if not inside.any():
            out[c] = max(float(values.max()), 0.0)
            continue
        below = values[~inside & (values < values[inside].min())]
        out[c] = (values[inside].min() + (max(below.max(), 0.0) if below.size else 0.0)) / 2
    return out


def bootstrap_masks(
    samples: PerSample,
    threshold: Float[np.ndarray, " F"],
    n_boot: int = 1_000,
    seed: int = 0,
) -> tuple[Bool[np.ndarray, "B F L H"], int]:
    """Heads above `threshold[c]` for each function in every resample, and the steps a function had (median).

    Resamples draw questions whole, then equally many steps of each function that has any. Resamples that miss one of these
    functions are left out, so that there may be fewer than `n_boot`.
    """
    rng = np.random.default_rng(seed)
    clusters = np.unique(samples.cluster)
    # Rows of each question, so that a draw is a lookup.
    order = np.argsort(samples.cluster, kind="stable")
    starts = np.searchsorted(samples.cluster[order], clusters, side="left")
    ends = np.searchsorted(samples.cluster[order], clusters, side="right")
    flat = samples.values.reshape(len(samples.values), -1)
    present = np.unique(samples.function)
    masks = np.zeros((n_boot, len(threshold), flat.shape[1]), dtype=bool)
    sizes = np.zeros(n_boot, dtype=np.int64)
    for b in range(n_boot):
        drawn = rng.integers(0, len(clusters), size=len(clusters))
        rows = np.concatenate([order[starts[i] : ends[i]] for i in drawn])
        by_function = [rows[samples.function[rows] == c] for c in present]
        size = min(len(rows_of) for rows_of in by_function)
        sizes[b] = size
        if not size:
            continue
        for c, rows_of in zip(present, by_function, strict=True):
            weight = _weights(rng.choice(rows_of, size=size, replace=False), len(flat))
            masks[b, c] = weight @ flat / size > threshold[c]
    kept = sizes > 0
    masks = masks.reshape(n_boot, len(threshold), *samples.values.shape[1:])[kept]
    return masks, int(np.median(sizes[kept])) if kept.any() else 0


def bootstrap_counts(
    samples: PerSample,
    threshold: Float[np.ndarray, " F"],
    n_boot: int = 1_000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "B F"], int]:
    """Number of heads above `threshold[c]` in every resample of `bootstrap_masks`; NaN for functions without steps."""
    masks, size = bootstrap_masks(samples, threshold, n_boot, seed)
    counts = masks.sum((2, 3)).astype(np.float64)
    counts[:, np.setdiff1d(np.arange(len(threshold)), samples.function)] = np.nan
    return counts, size


def fewest_table(
    scores: Scores,
    selector: str = "null",
    threshold: Float[np.ndarray, " F"] | None = None,
    n_boot: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Heads of each spatial function and of their mean, minus those of every other function and of the others' mean.

    Returns:
        Rows of results/fewest.csv: `difference` is the mean over resamples, `p` is one-sided, that spatial heads are not
        fewer: (1 + #{difference >= 0}) / (B + 1). With a single question `low`, `high` and `p` are NaN.

    Raises:
        HeadAtlasError: the scores have no `per_sample`, or hold steps of only spatial or only other functions.
    """
    if scores.per_sample is None:
        raise HeadAtlasError(
            f"scorer {scores.name!r} gave no per-step scores to resample; set `per_sample` in its Scores"
        )
    limit = thresholds(scores, selector) if threshold is None else threshold
    counts, size = bootstrap_counts(scores.per_sample, limit, n_boot, seed)
    several = len(np.unique(scores.per_sample.cluster)) > 1
    column = {name: counts[:, c] for c, name in enumerate(FUNCTIONS) if np.isfinite(counts[:, c]).any()}
    spatial = {name: column[name] for name in SPATIAL if name in column}
    others = {name: values for name, values in column.items() if name not in SPATIAL}
    if not spatial or not others:
        raise HeadAtlasError(
            "steps of a spatial function and of another one are needed to compare their heads, got those of one kind only"
        )
    if len(spatial) > 1:
        spatial["both"] = np.mean(list(spatial.values()), axis=0)
    others[""] = np.mean(list(others.values()), axis=0)
    rows = []
    for name, ours in spatial.items():
        for other, theirs in others.items():
            draws = (ours - theirs)[~np.isnan(ours - theirs)]
            if not len(draws):
                continue
            low, high, p = np.nan, np.nan, np.nan  # one question does not show how much a count varies
            if several:
                low, high = np.quantile(draws, [0.025, 0.975])
                p = (1 + (draws >= 0).sum()) / (len(draws) + 1)
            rows.append((scores.name, name, other, draws.mean(), low, high, p, size))
    return pd.DataFrame(rows, columns=list(RESULTS["fewest"].names))


def _weights(rows: Int[np.ndarray, " m"], n: int) -> Float[np.ndarray, " n"]:
    return np.bincount(rows, minlength=n).astype(np.float64)
