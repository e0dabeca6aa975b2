"""How alike two models are, compared with the same number for names or layers in random order.

There are two nulls: *other orders of the functions* (all orders of the function names in one model, exactly; Mantel 1967
for matrices) and *shuffled layers* (each model's layers in random order, all functions together). p is one-sided,
(1 + #{chance >= measured}) / (N + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from headatlas.compare.profiles import binned, correlation, distance
from headatlas.stats import random_control_p

N_SHUFFLES = 1_999
LEAST = 4
"""With fewer functions there are too few orders (3! = 6) for any p below 0.05."""


@dataclass(frozen=True)
class Likeness:
    """A measured number, the middle 95 % by chance, p, and the number of things it was measured on (`n`)."""

    value: float
    chance_low: float = float("nan")
    chance_high: float = float("nan")
    p: float = float("nan")
    n: int = 0


def against(value: float, null: Float[np.ndarray, " N"], n: int, smaller: bool = False) -> Likeness:
    """`value` compared with its null; `smaller`: small values are the remarkable ones."""
    known = null[np.isfinite(null)]
    if not np.isfinite(value) or not len(known):
        return Likeness(float(value), n=n)
    low, high = np.quantile(known, [0.025, 0.975])
    sign = -1 if smaller else 1
    return Likeness(float(value), float(low), float(high), random_control_p(sign * value, sign * known), n)


def vectors(a: Float[np.ndarray, " F"], b: Float[np.ndarray, " F"]) -> Likeness:
    """Spearman correlation of one number per function, in two models; null: other orders of the function names."""
    known = np.isfinite(a) & np.isfinite(b)
    one, two = rankdata(a[known]), rankdata(b[known])
    if len(one) < LEAST:
        return Likeness(float("nan"), n=len(one))
    found = correlation(one, two[_orders(len(one))])
    return against(float(correlation(one, two)), found, len(one))


def matrices(a: Float[np.ndarray, "F F"], b: Float[np.ndarray, "F F"], *, diagonal: bool = False) -> Likeness:
    """Spearman correlation of the cells of two function-by-function matrices; null: other orders of the function names.

    Functions with a row or column of NaN in one matrix are left out of both. `diagonal`: whether the cell of a function with
    itself counts. Cells of a symmetric matrix count once.
    """
    keep = np.array([_known(a, f) and _known(b, f) for f in range(len(a))], dtype=bool)
    one, two = a[np.ix_(keep, keep)], b[np.ix_(keep, keep)]
    size = len(one)
    rows, columns = np.nonzero(_cells(one, two, diagonal))
    if size < LEAST or np.isnan(one[rows, columns]).any() or np.isnan(two[rows, columns]).any():
        return Likeness(float("nan"), n=len(rows))
    first, second = (_standard(rankdata(m[rows, columns])) for m in (one, two))
    table = np.zeros_like(two)
    table[rows, columns] = second
    if not diagonal and _symmetric(one, two):
        table = table + table.T
    # Another order of the functions permutes the cells' ranks and keeps their mean and norm, so a product is the correlation.
    orders = _orders(size)
    null = table.ravel()[orders[:, rows] * size + orders[:, columns]] @ first
    return against(float(first @ second), null, len(rows))


def without_means(matrix: Float[np.ndarray, "F F"]) -> Float[np.ndarray, "F F"]:
    """The matrix minus its row and column means (ignoring NaN), which shows pairs that stand out in their row and column."""
    known = np.isfinite(matrix)
    if not known.any():
        return matrix
    row = np.array([m[k].mean() if k.any() else np.nan for m, k in zip(matrix, known, strict=True)])
    column = np.array([m[k].mean() if k.any() else np.nan for m, k in zip(matrix.T, known.T, strict=True)])
    return matrix - row[:, None] - column[None, :] + matrix[known].mean()


@dataclass(frozen=True)
class ProfileLikeness:
    """How alike two models' layer profiles are: function by function, on average, and function against function."""

    distance: list[Likeness]
    correlation: list[Likeness]
    mean_distance: Likeness
    mean_correlation: Likeness
    match: Likeness


def profiles(a: Float[np.ndarray, "F L1"], b: Float[np.ndarray, "F L2"], bins: int, seed: int = 0) -> ProfileLikeness:
    """Distances and correlations of two models' profiles, compared with shuffled layers, and whether functions match.

    `match`: how much nearer a function's profile is to that of the same function in the other model than to those of other
    functions (mean distance, 0..1 of the depth); null: other orders of the function names.
    """
    rng = np.random.default_rng(seed)
    one, two = (_shuffled(mass, rng) for mass in (a, b))  # [N, F, L]
    far, far_null = distance(a, b), distance(one, two)
    near, near_null = correlation(binned(a, bins), binned(b, bins)), correlation(binned(one, bins), binned(two, bins))
    known = np.isfinite(far)
    return ProfileLikeness(
        distance=[against(far[f], far_null[:, f], bins, smaller=True) for f in range(len(a))],
        correlation=[against(near[f], near_null[:, f], bins) for f in range(len(a))],
        mean_distance=_mean(far, far_null, smaller=True),
        mean_correlation=_mean(near, near_null),
        match=_match(a[known], b[known]),
    )


def _mean(values: Float[np.ndarray, " F"], null: Float[np.ndarray, "N F"], smaller: bool = False) -> Likeness:
    known = np.isfinite(values)
    if not known.any():
        return Likeness(float("nan"))
    # A shuffle of layers can give a constant profile, which has no correlation.
    draws = null[:, known]
    means = np.where(np.isfinite(draws).any(1), np.nansum(draws, 1) / np.maximum(np.isfinite(draws).sum(1), 1), np.nan)
    return against(float(values[known].mean()), means, int(known.sum()), smaller)


def _match(a: Float[np.ndarray, "F L1"], b: Float[np.ndarray, "F L2"]) -> Likeness:
    size = len(a)
    if size < LEAST:
        return Likeness(float("nan"), n=size)
    table = distance(a[:, None, :], b[None, :, :])  # [F, F]
    orders = np.vstack([np.arange(size), _orders(size)])  # the first is the functions as they are
    same = table[np.arange(size), orders].sum(1)
    gains = (table.sum() - same) / (size * (size - 1)) - same / size
    return against(float(gains[0]), gains[1:], size)


def _shuffled(mass: Float[np.ndarray, "F L"], rng: np.random.Generator) -> Float[np.ndarray, "N F L"]:
    orders = rng.permuted(np.tile(np.arange(mass.shape[1]), (N_SHUFFLES, 1)), axis=1)
    return mass[:, orders].transpose(1, 0, 2)


@cache
def _orders(n: int) -> Int[np.ndarray, "N n"]:
    """All orders of n things except the first; 9,999 random ones for more than eight things."""
    if n > 8:
        return np.random.default_rng(0).permuted(np.tile(np.arange(n), (9_999, 1)), axis=1)
    return np.array(list(permutations(range(n))))[1:]


def _standard(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The values minus their mean, with norm 1; NaN if they are all equal."""
    centred = values - values.mean()
    norm = np.sqrt(centred @ centred)
    return centred / norm if norm > 0 else np.full_like(centred, np.nan)


def _known(matrix: Float[np.ndarray, "F F"], f: int) -> bool:
    others = np.arange(len(matrix)) != f
    return bool(np.isfinite(matrix[f, others]).any() and np.isfinite(matrix[others, f]).any())


def _symmetric(*both: Float[np.ndarray, "F F"]) -> bool:
    return all(np.allclose(m, m.T, equal_nan=True) for m in both)


def _cells(a: Float[np.ndarray, "F F"], b: Float[np.ndarray, "F F"], diagonal: bool) -> Float[np.ndarray, "F F"]:
    cells = np.ones_like(a)
    if not diagonal:
        cells = np.triu(cells, 1) if _symmetric(a, b) else cells - np.eye(len(a))
    return cells
