"""Cumulative curves: a ranking is removed head by head, at every dose from none to the top k.

The dose curve (`dose.py`) compares a few doses with controls. This is the whole curve of one ranking, by which rankings are
compared: with a better one, accuracy falls earlier. The doses share the bare model's passes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import interval, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

COLUMNS = ["scorer", "function", "k", "head", "accuracy", "low", "high", "drop", "unparsable", "n"]


def cumulative_curve(
    runner: Runner,
    ranking: Heads,
    function: str,
    most: int | None = None,
    operation: str = "mean",
    means: Means | None = None,
    scorer: str = "",
    split: str = "E",
    scope: str = "all",
    n_boot: int = 2_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Accuracy of the steps of `function` with the top 0, 1, ..., `most` heads of `ranking` removed.

    Returns:
        One row per dose: `head` is the one added at this dose (empty at 0), `accuracy` (0..1) with its 95 % bootstrap interval
        over scenes, `drop` the mean fall of the gold answer's log-probability (nats), `unparsable` (0..1), steps `n`. The
        area under the curve is `accuracy.mean()`.

    Raises:
        HeadAtlasError: `most` is more than the ranking holds, or no step of the function.
    """
    ranking = as_heads(ranking)
    top = len(ranking) if most is None else most
    if not 0 <= top <= len(ranking):
        raise HeadAtlasError(f"most must be from 0 to {len(ranking)} heads, got {top}")
    before = runner.baseline(split)
    rows = of_function(before, function)
    if not rows.any():
        raise HeadAtlasError(f"split {split!r} has no step of {function!r}")
    sets = [HeadSet(sorted(ranking[:k]), reason=f"top {k}") for k in range(1, top + 1)]
    conditions = [Condition(f"{operation} top {len(s)}", (ablate(s, operation, means),), scope) for s in sets]
    tables = [before, *runner.run_many(conditions, split, progress)]
    scenes = scenes_of(before)[rows]
    table_rows = []
    for k, table in enumerate(tables):
        right = table["correct"].to_numpy(float)[rows]
        low, high = interval(right, scenes, n_boot, seed)
        drop = float((before["logprob"] - table["logprob"]).to_numpy(float)[rows].mean())
        odd = float(table["unparsable"].to_numpy(float)[rows].mean())
        head = str(ranking[k - 1]) if k else ""
        table_rows.append((scorer, function, k, head, float(right.mean()), low, high, drop, odd, int(np.sum(rows))))
    return pd.DataFrame(table_rows, columns=COLUMNS)
