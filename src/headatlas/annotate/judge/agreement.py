"""How far human labels, judge and parser agree: share, Cohen's kappa with its interval, and where they differ.

Knows verdicts and `stats`; asks nobody. Kappa is (observed - expected) / (1 - expected) agreement over the three
verdicts (Cohen 1960), NaN where both used one verdict only, for then chance alone agrees fully. Intervals are
bootstraps over questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Int

from headatlas import stats
from headatlas.annotate.judge.ask import VERDICTS

RATERS = ("human", "judge", "parser")


@dataclass(frozen=True)
class Agreement:
    """What `agreement` found.

    `pairs`: one row a pair of raters: rater_a, rater_b, n, agreement (0..1), kappa (-1..1), low, high.
    `confusion`: long table: rater_a, rater_b, verdict_a, verdict_b, n.
    `differences`: the rows of the table on which any two raters differ.
    """

    pairs: pd.DataFrame
    confusion: pd.DataFrame
    differences: pd.DataFrame


def agreement(table: pd.DataFrame, n: int = 2000, seed: int = 0) -> Agreement:
    """Compare the raters of a judged table pairwise, on the rows where both gave a verdict; pairs without any are left out."""
    pairs, confusion = [], []
    for a, b in combinations([name for name in RATERS if name in table], 2):
        both = table[table[a].isin(VERDICTS) & table[b].isin(VERDICTS)]
        if both.empty:
            continue
        counts = pd.crosstab(both[a], both[b]).reindex(index=list(VERDICTS), columns=list(VERDICTS), fill_value=0)
        codes = _codes(both, a) * len(VERDICTS) + _codes(both, b)
        # Steps of one question stand or fall together.
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
    """Cohen's kappa of a table of counts, raters on the two axes; NaN where it says nothing."""
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
