"""Intervals, p-values and measures of concentration of arrays, on top of scipy and statsmodels.

Clusters say which values belong together: steps about one scene are not independent, so the bootstrap draws whole
clusters with replacement.

NaN means "not measured": such values are left out, and what cannot be estimated (an interval from a single cluster) is
NaN. Infinite values are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Float
from statsmodels.stats.proportion import proportion_confint

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError

Values: TypeAlias = "np.ndarray | pd.Series | pd.Index | Sequence[Any]"
"""One number (or label) per row: an array, a pandas column or a list."""

Number: TypeAlias = "float | int | np.number"

LEVEL = 0.95
"""Every interval of HeadAtlas is a 95 % interval."""

WIDTH = float(scipy.stats.norm.ppf((1 + LEVEL) / 2))
"""Standard errors to each side of a value that make such an interval."""

_TIE = 1e-12  # means of the same counts, summed in another order, count as equal
_CHUNK = 4_000_000  # resampled cluster numbers in memory at a time (16 MB)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, from `n` values. `p`: two-sided against 0, NaN where none was computed."""

    value: float
    low: float
    high: float
    n: int
    p: float = float("nan")


def cluster_bootstrap(
    values: Values,
    clusters: Values,
    n: int = 10_000,
    seed: int = 0,
    statistic: Callable[[np.ndarray], float] | None = None,
) -> Estimate:
    """A statistic of `values` with its percentile interval over `n` resamples of whole clusters.

    `statistic` None is the mean, done in one matrix product; any other function of a 1-d array is called per resample.
    With all values equal the interval has no width, and `p` is that of a sign test on the clusters; for the interval of a
    share at 0 or 1 see `wilson`.

    Raises:
        HeadAtlasError: No values, or values and clusters of different length.
    """
    if statistic is None:
        return bootstrap_groups(values, None, clusters, n=n, seed=seed)
    rows, codes, n_clusters = _rows(values, clusters)
    members = [rows[codes == k] for k in range(n_clusters)]
    value = float(statistic(rows))
    if n_clusters < 2:
        return Estimate(value, np.nan, np.nan, len(rows))
    draws = np.array(
        [
            statistic(np.concatenate([members[k] for k in np.repeat(np.arange(n_clusters), counts.astype(int))]))
            for chunk in _resamples(n_clusters, n, seed)
            for counts in chunk
        ]
    )
    return _from_draws(value, draws, len(rows), n_clusters)


def paired_bootstrap(before: Values, after: Values, clusters: Values, n: int = 10_000, seed: int = 0) -> Estimate:
    """Mean of after - before over the same rows, with interval and two-sided p. Pairs with a NaN are left out."""
    one, two = _floats(before), _floats(after)
    if len(one) != len(two):
        raise HeadAtlasError(f"before and after must have the same length, got {len(one)} before and {len(two)} after")
    return bootstrap_groups(two - one, None, clusters, n=n, seed=seed)


def bootstrap_groups(
    values: Values,
    groups: Values | None,
    clusters: Values,
    weights: Mapping[Any, Number] | None = None,
    denominators: Values | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """A weighted sum of group means, such as a mean over functions of accuracies, or one group's minus another's.

    value = sum_g weights[g] * (sum of values in g) / (sum of denominators in g). Clusters may hold rows of several
    groups: all groups are resampled together, so what they share stays shared.

    Args:
        values: N numbers.
        groups: N labels; None puts all rows into one group.
        clusters: N labels of what is drawn whole.
        weights: By group; None is the plain mean over groups. Rows of groups it does not name are left out.
        denominators: N numbers whose sum in each group is above 0; None is ones (group means).
        n: Resamples. One in which the denominators of a group add up to 0 or less is not counted.
        seed: Of the resampling; the same seed and clusters draw the same resamples.

    Returns:
        Estimate with two-sided p against 0.

    Raises:
        HeadAtlasError: No values, lengths that differ, or a weighted group without values.
    """
    numbers = _floats(values)
    below = np.ones(len(numbers)) if denominators is None else _floats(denominators)
    labels = np.zeros(len(numbers), dtype=int) if groups is None else groups
    if not len(numbers) == len(below) == len(labels):
        raise HeadAtlasError(f"every value must have a group, got {len(numbers)} values and {len(labels)} groups")
    group_codes, names = pd.factorize(pd.Series(labels, dtype=object).to_numpy())
    if weights is None:
        present = np.unique(group_codes[~np.isnan(numbers) & (group_codes >= 0)])
        weights = {names[g]: 1 / len(present) for g in present}
    position = {name: i for i, name in enumerate(weights)}
    column = np.array([position.get(name, -1) for name in names] + [-1], dtype=int)[group_codes]

    used = ~np.isnan(numbers) & ~np.isnan(below) & (column >= 0)
    _, codes, n_clusters = _rows(np.where(used, numbers, np.nan), clusters)
    shape = (n_clusters, len(weights))
    above_sums, below_sums = np.zeros(shape), np.zeros(shape)  # [K, G]
    np.add.at(above_sums, (codes, column[used]), numbers[used])
    np.add.at(below_sums, (codes, column[used]), below[used])
    share = np.array(list(weights.values()), dtype=float)

    totals = below_sums.sum(0)
    if (totals <= 0).any():
        empty = next(name for name, total in zip(weights, totals, strict=True) if total <= 0)
        raise HeadAtlasError(f"every group that has a weight must have values, got none in {empty!r}; leave it out")
    value = float(share @ (above_sums.sum(0) / totals))
    if n_clusters < 2:
        return Estimate(value, np.nan, np.nan, int(used.sum()))

    draws: list[np.ndarray] = []
    for counts in _resamples(n_clusters, n, seed):
        above, below_drawn = counts @ above_sums, counts @ below_sums
        with np.errstate(invalid="ignore", divide="ignore"):
            draws.append(np.where(below_drawn > 0, above / below_drawn, np.nan) @ share)
    return _from_draws(value, np.concatenate(draws), int(used.sum()), n_clusters)


def half_width(draws: Float[np.ndarray, "B ..."]) -> Float[np.ndarray, ...]:
    """Half a 95 % interval around the measured value: 1.96 bootstrap standard errors; NaN draws are left out.

    For quantities that resampling biases (the number of heads above a limit, the slope of a profile, a correlation), whose
    percentiles would not lie around the measured value.
    """
    known = np.isfinite(draws)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, draws, 0).sum(0) / count
    square = np.where(known, (draws - mean) ** 2, 0).sum(0) / np.maximum(count - 1, 1)
    return np.where(known.sum(0) > 1, WIDTH * np.sqrt(square), np.nan)


def mcnemar(before: Values, after: Values) -> float:
    """Exact two-sided p of McNemar's test on paired right/wrong answers; 1.0 when none changed. Ignores clustering."""
    one, two = _floats(before), _floats(after)
    if not len(one) or len(one) != len(two):
        raise HeadAtlasError(
            f"before and after must have the same length, at least 1, got {len(one)} before and {len(two)} after"
        )
    lost, won = int(((one > 0) & (two == 0)).sum()), int(((one == 0) & (two > 0)).sum())
    return float(scipy.stats.binomtest(lost, lost + won, 0.5).pvalue) if lost + won else 1.0


def clustered_mcnemar(before: Values, after: Values, clusters: Values) -> float:
    """Two-sided p of McNemar's test for clustered data (Durkalski et al. 2003); 1.0 when none changed.

    Each cluster gives the mean of after - before over its values, whatever their number.
    """
    one, two = _floats(before), _floats(after)
    if not len(one) == len(two) == len(clusters):
        raise HeadAtlasError(
            f"before, after and clusters must have the same length, got {len(one)}, {len(two)} and {len(clusters)}"
        )
    change = pd.Series(two - one).groupby(np.asarray(clusters)).mean().to_numpy()
    spread = float((change**2).sum())
    return float(scipy.stats.chi2.sf(change.sum() ** 2 / spread, 1)) if spread else 1.0


def benjamini_hochberg(p: Values | Number) -> np.ndarray:
    """Adjusted p-values (q) over all entries of an array of any shape, which is kept. NaN stays NaN, no test."""
    values = np.asarray(p, dtype=float)
    known = ~np.isnan(values)
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise HeadAtlasError(f"p-values must be in 0..1, got {values[known].min():g} to {values[known].max():g}")
    q = np.full(values.shape, np.nan)
    if known.any():
        q[known] = scipy.stats.false_discovery_control(values[known], method="bh")
    return q


def tost(diff: Values, clusters: Values, delta: Number) -> float:
    """p of equivalence: small when the mean of `diff` lies within -delta..delta (two one-sided t-tests; the larger p).

    The standard error is cluster-robust (linearised ratio of sums, K - 1 degrees of freedom); with clusters of equal
    size it is the t-test on cluster means. When no cluster differs from the mean m there is no variance to test with:
    then p is the chance that K clusters show nothing although enough of them change to reach delta,
    (1 - (delta-|m|)/(1+|m|))^K, which holds for differences within -1..1 such as those of right/wrong answers.

    Raises:
        HeadAtlasError: delta <= 0 or no values. A single cluster gives NaN.
    """
    if not delta > 0:
        raise HeadAtlasError(f"delta must be > 0, got {delta}")
    rows, codes, k = _rows(diff, clusters)
    mean = float(rows.mean())
    if k < 2:
        return float("nan")
    gap = max(0.0, delta - abs(mean)) / (1 + abs(mean))
    residuals = np.bincount(codes, weights=rows - mean, minlength=k)
    error = float(np.sqrt(k / (k - 1) * (residuals**2).sum()) / len(rows))
    if error < _TIE:
        return float((1 - min(gap, 1.0)) ** k)
    above = scipy.stats.t.sf((mean + delta) / error, k - 1)
    under = scipy.stats.t.cdf((mean - delta) / error, k - 1)
    return float(max(above, under))


def random_control_p(effect: Number, random_effects: Values) -> float:
    """(1 + #{random >= effect}) / (R + 1): how often a random head set does as much. One-sided: larger is stronger."""
    return float(null_p(np.array(float(effect)), random_effects))


def null_p(values: Values | Number, null: Values) -> np.ndarray:
    """One-sided p of each value against a pooled null, (1 + #{null >= value}) / (N + 1).

    All entries of `null` are pooled (of all heads and permutations: pass one function at a time); N is their number.
    Returns the shape of `values`; NaN values stay NaN, NaN in the null is left out.

    Raises:
        HeadAtlasError: The null is empty.
    """
    pool = np.sort(_floats(np.ravel(np.asarray(null, dtype=float))))
    pool = pool[~np.isnan(pool)]
    if not len(pool):
        raise HeadAtlasError("the null must have at least one value, got none")
    seen = np.asarray(values, dtype=float)
    reached = len(pool) - np.searchsorted(pool, seen - _TIE * np.maximum(1, np.abs(seen)), side="left")
    return np.where(np.isnan(seen), np.nan, (1 + reached) / (len(pool) + 1))


def spearman(a: Values, b: Values) -> Estimate:
    """Rank correlation with Fisher interval (Bonett & Wright 2000) and two-sided p. Pairs with a NaN are left out.

    NaN where it is undefined: a constant argument, fewer than 2 pairs. There is no interval for fewer than 4 pairs, nor
    at -1 and 1, where Fisher's has no width.
    """
    one, two = np.ravel(_floats(a)), np.ravel(_floats(b))
    if len(one) != len(two) or not len(one):
        raise HeadAtlasError(f"both sides must have the same length, at least 1, got {len(one)} and {len(two)}")
    known = ~np.isnan(one) & ~np.isnan(two)
    one, two, n = one[known], two[known], int(known.sum())
    if n < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return Estimate(np.nan, np.nan, np.nan, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        test: Any = scipy.stats.spearmanr(one, two)
    r = float(np.clip(test.statistic, -1, 1))
    if n < 4 or abs(r) > 1 - _TIE:
        return Estimate(r, np.nan, np.nan, n, float(test.pvalue))
    width = WIDTH * np.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(r) - width), np.tanh(np.arctanh(r) + width)
    return Estimate(r, float(low), float(high), n, float(test.pvalue))


def wilson(successes: int | np.integer, n: int | np.integer) -> Estimate:
    """A share with Wilson's interval, for independent trials; it keeps its width at 0 and 1."""
    if not 0 <= successes <= n or n == 0:
        raise HeadAtlasError(f"successes must be in 0..n and n > 0, got {successes} of {n}")
    low, high = np.asarray(proportion_confint(successes, n, alpha=1 - LEVEL, method="wilson"))
    # Rounding may put a bound of a share of 0 or 1 slightly inside it.
    share = successes / n
    return Estimate(float(share), min(float(low), float(share)), max(float(high), float(share)), int(n))


def gini(values: Values) -> float:
    """Gini coefficient, 0 (all equal) to (n-1)/n (all in one). Negative values count as 0; without any mass it is 0."""
    mass = np.sort(_mass(values))
    if not mass.sum():
        return 0.0
    ranks = np.arange(1, len(mass) + 1)
    return float(2 * (ranks @ mass) / (len(mass) * mass.sum()) - (len(mass) + 1) / len(mass))


def effective_number(values: Values) -> float:
    """exp(entropy) of the values as shares: 1 if one holds all, n if equal. Negatives count as 0; 0 without mass."""
    mass = _mass(values)
    return float(np.exp(scipy.stats.entropy(mass))) if mass.sum() else 0.0


def _mass(values: Values) -> Float[np.ndarray, " n"]:
    flat = np.ravel(_floats(values))
    flat = flat[~np.isnan(flat)]
    if not len(flat):
        raise HeadAtlasError("at least one value is needed, got none")
    return np.clip(flat, 0, None)


def _floats(values: Values) -> Float[np.ndarray, ...]:
    numbers = np.asarray(values, dtype=float)
    if np.isinf(numbers).any():
        raise HeadAtlasError(f"values must be finite or NaN, got {int(np.isinf(numbers).sum())} infinite ones")
    return numbers


def _rows(values: Values, clusters: Values) -> tuple[Float[np.ndarray, " n"], np.ndarray, int]:
    """The values that are not NaN, their cluster numbers 0..K-1 in order of appearance, and K."""
    numbers = _floats(values)
    if len(numbers) != len(clusters):
        raise HeadAtlasError(f"every value must have a cluster, got {len(numbers)} values and {len(clusters)} clusters")
    known = ~np.isnan(numbers)
    if not known.any():
        raise HeadAtlasError("at least one measured value is needed, got none")
    codes, names = pd.factorize(pd.Series(clusters, dtype=object).to_numpy()[known], use_na_sentinel=False)
    return numbers[known], codes, len(names)


def _resamples(k: int, n: int, seed: int) -> Iterator[Float[np.ndarray, "n k"]]:
    """How often each of `k` clusters is drawn in `n` resamples, in chunks of whole resamples."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // k)
    for start in range(0, n, step):
        size = min(step, n - start)
        drawn = rng.integers(0, k, size=(size, k), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * np.int32(k)
        yield np.bincount(drawn.ravel(), minlength=size * k).reshape(size, k).astype(float)


def _from_draws(value: float, draws: Float[np.ndarray, " n"], n: int, n_clusters: int) -> Estimate:
    """The percentile interval and two-sided p of a statistic from its resamples."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Estimate(value, np.nan, np.nan, n)
    if np.ptp(draws) < _TIE and abs(value) > _TIE:
        # Without any spread resampling gives no p, so a sign test on the clusters does.
        return Estimate(value, value, value, n, float(2.0 ** (1 - n_clusters)))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = min((draws <= _TIE).sum(), (draws >= -_TIE).sum())
    return Estimate(value, float(low), float(high), n, float(min(1.0, 2 * (1 + tail) / (len(draws) + 1))))


__getattr__ = old_names(__name__)
