"""Cumulative curves: a ranking is removed head by head, at every dose from none to the top k.

The dose curve (`dose.py`) compares a few doses with controls. This is the whole curve of one ranking, by which rankings are
compared: with a better one, accuracy falls earlier. The control is the same curve of random orders, at fewer doses. All doses
share the bare model's passes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import interval, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

COLUMNS = ["scorer", "function", "order", "k", "head", "accuracy", "low", "high", "drop", "unparsable", "n"]


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
    n_random: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Accuracy of the steps of `function` with the top 0, 1, ..., `most` heads of `ranking` removed.

    Args:
        runner: evaluates conditions, cached; forced mode.
        ranking: heads, most important for `function` first.
        function: the primary function of the steps that are measured.
        most: largest dose; None: all heads of the ranking.
        operation, means, scope: as in `negative`.
        scorer: name that is written in the rows.
        split: evaluated split.
        n_boot, seed: of the intervals and of the random orders.
        n_random: random orders of the same heads, removed up to doses 0, 1, 2, 4, 8, ..., `most`. They depend only on the seed
            and the heads, so that all functions and scorers share them and their cached answers.
        progress: called after each condition.

    Returns:
        A row per dose with `order` "ranking": `head` is the one added at this dose (empty at 0), `accuracy` (0..1) with its 95 %
        bootstrap interval over scenes, `drop` the mean fall of the gold answer's log-probability (nats), `unparsable` (0..1),
        steps `n`. The area under the curve is `accuracy.mean()`. With random orders, a row for each of their doses with `order`
        "random": means over the orders, and the 2.5 and 97.5 % quantiles of their accuracies as `low`, `high`.

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
    orders = _random_orders(ranking, n_random, seed)
    doses = [0, *(2**i for i in range(top.bit_length()) if 2**i < top), top] if orders and top else []
    sets = [HeadSet(sorted(ranking[:k]), reason=f"top {k}") for k in range(1, top + 1)]
    sets += [HeadSet(sorted(order[:k]), reason="random order") for k in doses if k for order in orders]
    conditions = [Condition(f"{operation} {s.reason} {len(s)}", (ablate(s, operation, means),), scope) for s in sets]
    answers = list(runner.run_many(conditions, split, progress))
    measured = [_measured(before, table, rows) for table in (before, *answers)]
    scenes = scenes_of(before)[rows]
    table_rows = []
    for k, (right, drop, odd) in enumerate(measured[: top + 1]):
        low, high = interval(right, scenes, n_boot, seed)
        head = str(ranking[k - 1]) if k else ""
        table_rows.append((scorer, function, "ranking", k, head, float(right.mean()), low, high, drop, odd, len(right)))
    for i, k in enumerate(doses):
        at = top + 1 + (i - 1) * len(orders)
        some = measured[at : at + len(orders)] if k else measured[:1]
        accuracies = [float(right.mean()) for right, _, _ in some]
        low, high = (float(bound) for bound in np.quantile(accuracies, [0.025, 0.975]))
        means_of = [
            float(np.mean(values)) for values in (accuracies, [one[1] for one in some], [one[2] for one in some])
        ]
        accuracy, drop, odd = means_of
        table_rows.append((scorer, function, "random", k, "", accuracy, low, high, drop, odd, int(np.sum(rows))))
    return pd.DataFrame(table_rows, columns=COLUMNS)


def _random_orders(ranking: HeadSet, n: int, seed: int) -> list[list[Head]]:
    heads = sorted(ranking)
    return [[heads[i] for i in np.random.default_rng([seed, j]).permutation(len(heads))] for j in range(n)]


def _measured(before: pd.DataFrame, after: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Which of the steps `rows` are right (0 or 1), their mean fall in nats, and the share that cannot be parsed."""
    right = after["correct"].to_numpy(float)[rows]
    drop = float((before["logprob"] - after["logprob"]).to_numpy(float)[rows].mean())
    return right, drop, float(after["unparsable"].to_numpy(float)[rows].mean())
