"""How sparse scores are and where the selected heads lie: `results/sparsity.csv`, `selection.csv` and `overlap.csv`.

The Gini index and the effective number count negative scores as 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.heads.address import Heads, as_heads
from headatlas.scoring.base import Scores
from headatlas.scoring.select import select
from headatlas.stats import effective_number, gini

THRESHOLD = 0.001
"""The paper's threshold, in logits / 64 of its own probe; for other scorers it is in another unit."""


def sparsity_table(scores: Scores, selector: str = "null", threshold: float = THRESHOLD) -> pd.DataFrame:
    """One row per function: scorer, function, count, share, share_above_threshold, gini, effective_number, centroid.

    `count` and `share` (0..1) of heads selected; `gini` 0..1 and `effective_number` (1..L*H, exp of the entropy in
    nats) of the scores; `centroid`: mean relative depth of the selected heads, 0 first layer, 1 last; NaN for an empty
    set.
    """
    total = scores.shape[0] * scores.shape[1]
    rows = []
    for index, function in enumerate(FUNCTIONS):
        chosen = select(scores, function, selector)
        values = scores.values[index].ravel()
        rows.append(
            {
                "scorer": scores.name,
                "function": function,
                "count": len(chosen),
                "share": len(chosen) / total,
                "share_above_threshold": float((values > threshold).mean()),
                "gini": gini(values),
                "effective_number": effective_number(values),
                "centroid": centroid(chosen, scores.shape[0]),
            }
        )
    return pd.DataFrame(rows)


def selection_table(scores: Scores, selectors: Iterable[str] = ("null", "elbow", "top_k")) -> pd.DataFrame:
    """One row per function and selector: scorer, function, selector, count, share, heads ("L0.H1 L2.H3", best first),
    reason.

    Selectors `null` and `functional` are left out for scores without p-values.
    """
    rows = []
    for name in selectors:
        if name in ("null", "functional") and scores.pvalues is None:
            continue
        for function in FUNCTIONS:
            chosen = select(scores, function, name)
            share = len(chosen) / (scores.shape[0] * scores.shape[1])
            rows.append((scores.name, function, name, len(chosen), share, str(chosen), chosen.reason))
    return pd.DataFrame(rows, columns=["scorer", "function", "selector", "count", "share", "heads", "reason"])


def centroid(heads: Heads, n_layers: int) -> float:
    """Mean relative depth of the heads, 0 (first layer) .. 1 (last); NaN for an empty set."""
    heads = as_heads(heads)
    if not heads:
        return float("nan")
    return float(np.mean([head.layer for head in heads])) / max(n_layers - 1, 1)


def jaccard(a: Heads, b: Heads, total: int) -> tuple[float, float]:
    """Jaccard index 0..1 of two sets out of `total` heads, and corrected for chance (0 as expected at random, 1 equal).

    corrected = (J - E) / (1 - E), with E the mean Jaccard of random sets of these sizes (the overlap is hypergeometric).
    NaN when both sets are empty, or when both hold every head.
    """
    one, other = set(as_heads(a)), set(as_heads(b))
    union = len(one | other)
    if not union:
        return float("nan"), float("nan")
    index = len(one & other) / union
    sizes = len(one) + len(other)
    overlaps = np.arange(max(0, sizes - total), min(len(one), len(other)) + 1)
    expected = float(hypergeom.pmf(overlaps, total, len(one), len(other)) @ (overlaps / (sizes - overlaps)))
    return index, (index - expected) / (1 - expected) if expected < 1 - 1e-12 else float("nan")


def overlap_table(scores: Scores, selector: str = "null") -> pd.DataFrame:
    """One row per pair of different functions: scorer, function_a, function_b, jaccard, jaccard_corrected."""
    sets = {function: select(scores, function, selector) for function in FUNCTIONS}
    total = scores.shape[0] * scores.shape[1]
    rows = [
        (scores.name, a, b, *jaccard(sets[a], sets[b], total))
        for i, a in enumerate(FUNCTIONS)
        for b in FUNCTIONS[i + 1 :]
    ]
    return pd.DataFrame(rows, columns=["scorer", "function_a", "function_b", "jaccard", "jaccard_corrected"])
