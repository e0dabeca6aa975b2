"""Measure the agreement of human labels, judge and parser: share, Cohen's kappa with its interval, and the answers that differ.

Kappa is (observed - expected) / (1 - expected) agreement over the three verdicts (Cohen 1960). It is NaN if both raters used a
single verdict, because they would then agree fully by chance. Intervals are bootstraps over questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Int

from headatlas import stats
from headatlas.annotate.judge.ask import VERDICTS
from headatlas.printing import brief

RATERS = ("human", "judge", "parser")


@dataclass(frozen=True)
class Agreement:
    """The result of `agreement`."""

    pairs: pd.DataFrame
    """One row per pair of raters: rater_a, rater_b, n, agreement (0 to 1), kappa (-1 to 1), low, high."""
    confusion: pd.DataFrame
    """One row per pair of raters and of verdicts: rater_a, rater_b, verdict_a, verdict_b, n."""
    differences: pd.DataFrame
    """The rows of the judged table on which two raters differ."""

    __repr__ = brief


def agreement(table: pd.DataFrame, n: int = 2000, seed: int = 0) -> Agreement:
    """Compare the raters of a judged table pairwise, on the rows where both gave a verdict.

    Args:
        table: from `judge_answers`, with the columns `human`, `judge` and `parser` as far as they are known.
        n: resamples of the bootstrap.
        seed: seed of the bootstrap.

    Returns:
        The agreement of each pair of raters; pairs without a common row are left out.
    """
    pairs, confusion = [], []
    for a, b in combinations([name for name in RATERS if name in table], 2):
        both = table[table[a].isin(VERDICTS) & table[b].isin(VERDICTS)]
        if both.empty:
            continue
        counts = pd.crosstab(both[a], both[b]).reindex(index=list(VERDICTS), columns=list(VERDICTS), fill_value=0)
        codes = _codes(both, a) * len(VERDICTS) + _codes(both, b)
        # The steps of one question are not independent.
        clusters = both["question"] if "question" in both and both["question"].ne("").all() else both.index.to_series()
        found = stats.cluster_bootstrap(
            codes.astype(float), clusters.tolist(), n=n, seed=seed, statistic=_kappa_of_codes
        )
        pairs.append((a, b, len(both), float((both[a] == both[b]).mean()), found.value, found.low, found.high))
        confusion += [(a, b, x, y, int(counts.loc[x, y])) for x in VERDICTS for y in VERDICTS]
    known = [name for name in RATERS if name in table]
    given = table[known].where(table[known].isin(VERDICTS))
    return Agreement(
        pd.DataFrame(pairs, columns=["rater_a", "rater_b", "n", "agreement", "kappa", "low", "high"]),
        pd.DataFrame(confusion, columns=["rater_a", "rater_b", "verdict_a", "verdict_b", "n"]),
        table[given.nunique(axis=1) > 1],
    )


def cohen_kappa(counts: Int[np.ndarray, "k k"]) -> float:
    """Cohen's kappa of a table of counts with one rater on each axis; NaN if it is not defined."""
    total = counts.sum()
    if total == 0:
        return float("nan")
    observed = np.trace(counts) / total
    expected = float((counts.sum(0) / total) @ (counts.sum(1) / total))
    return float("nan") if expected > 1 - 1e-12 else float((observed - expected) / (1 - expected))


def _codes(table: pd.DataFrame, rater: str) -> np.ndarray:
    return np.array([VERDICTS.index(verdict) for verdict in table[rater]])


def _kappa_of_codes(codes: np.ndarray) -> float:
    k = len(VERDICTS)
    return cohen_kappa(np.bincount(codes.astype(int), minlength=k * k).reshape(k, k))
