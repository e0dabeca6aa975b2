"""The rank correlation of each scorer with a reference, such as exact ablation: `results/agreement.csv`.

A probe can be right about every step and still rank heads differently from exact ablation.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores
from headatlas.scoring.select import ranking
from headatlas.stats import spearman


def agreement(scores: Scores, reference: Scores, k: int = 5, n_boot: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """Spearman correlation over heads with a 95 % bootstrap interval, and the overlap of the best `k`, by function.

    Returns:
        Rows of results/agreement.csv. `top5_overlap` is the share (0..1) of the k best heads of one that are among the k
        best of the other, `top5_expected` that share for random heads, k / (L H). Heads are resampled with replacement;
        layers are not treated as clusters. NaN where a function's scores are constant (a function without steps).

    Raises:
        HeadAtlasError: the two score different grids of heads.
    """
    if scores.values.shape != reference.values.shape:
        raise HeadAtlasError(
            f"both scorers must score the same heads, got grids {scores.shape} from {scores.name!r} and {reference.shape} "
            f"from {reference.name!r}"
        )
    rng = np.random.default_rng(seed)
    total = scores.shape[0] * scores.shape[1]
    best = min(k, total)
    draws = rng.integers(0, total, size=(n_boot, total))
    rows = []
    for c, function in enumerate(FUNCTIONS):
        ours, theirs = scores.values[c].ravel(), reference.values[c].ravel()
        if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
            rows.append((scores.name, function, np.nan, np.nan, np.nan, np.nan, best / total))
            continue
        rho = spearman(ours, theirs).value
        resampled = _correlations(ours[draws], theirs[draws])
        low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (np.nan, np.nan)
        shared = len(set(ranking(scores, function)[:best]) & set(ranking(reference, function)[:best]))
        rows.append((scores.name, function, rho, low, high, shared / best, best / total))
    return pd.DataFrame(rows, columns=list(RESULTS["agreement"].names))


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman of each row of [B, J] arrays with ties (resampling makes many); rows without spread are left out."""
    first, second = _ranks(a), _ranks(b)
    first -= first.mean(1, keepdims=True)
    second -= second.mean(1, keepdims=True)
    norm = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return ((first * second).sum(1) / np.where(norm > 0, norm, 1))[norm > 0]


def _ranks(values: np.ndarray) -> np.ndarray:
    return rankdata(values, axis=1)
