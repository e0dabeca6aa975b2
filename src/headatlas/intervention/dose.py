"""Dose curves: the accuracy of a function's steps as more of a ranking is removed, compared with random and with the least
important heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention.condition import Condition
from headatlas.intervention.controls import least_important
from headatlas.intervention.effects import interval, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

COLUMNS = ["scorer", "function", "k", "set", "accuracy", "low", "high", "unparsable", "n"]


def dose_curve(
    runner: Runner,
    ranking: Sequence[Head],
    function: str,
    ks: Sequence[int],
    operation: str = "mean",
    means: Means | None = None,
    n_random: int = 5,
    scorer: str = "",
    split: str = "E",
    scope: str = "all",
    n_boot: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Accuracy of the steps of `function` with the top k heads removed, for each k.

    Args:
        runner: evaluates conditions, cached.
        ranking: all heads, most important for `function` first.
        function: whose steps are looked at.
        ks: doses; 0 is the bare model.
        operation, means, scope: as in `negative`.
        n_random: random sets for each dose, uniform over all heads. They depend only on the seed, k and the number of heads,
            so that all functions and scorers share them and their cached answers; they may overlap with the top k.
        scorer: name that is written in the rows.
        split: evaluated split.
        n_boot, seed: of the intervals and of the random sets.
        progress: called after each condition.

    Returns:
        Rows of `results/dose.csv` by (k, set), set in `selected`, `least`, `random`. `low`, `high`: bootstrap interval over
        questions; for `random`, the 2.5 and 97.5 % quantiles over the sets, whose mean is the accuracy.

    Raises:
        HeadAtlasError: a dose is negative or larger than the ranking.
    """
    wrong = [k for k in ks if not 0 <= k <= len(ranking)]
    if wrong:
        raise HeadAtlasError(f"doses must be between 0 and {len(ranking)} heads, got {wrong[0]}")
    every = sorted(ranking)
    named: list[tuple[int, str, HeadSet]] = []
    for k in ks:
        named.append((k, "selected", HeadSet(sorted(ranking[:k]), reason=f"top {k}")))
        named.append((k, "least", least_important(ranking, k)))
        rng = np.random.default_rng([seed, k])
        for _ in range(n_random):
            drawn = rng.choice(len(every), size=k, replace=False)
            named.append((k, "random", HeadSet(sorted(every[i] for i in drawn), reason="random, uniform")))
    conditions = [
        Condition(f"{operation} {k} {which} heads, {function}", (ablate(heads, operation, means),) if k else (), scope)
        for k, which, heads in named
    ]
    answers = runner.run_many(conditions, split, progress)
    rows = []
    for k in dict.fromkeys(ks):
        for which in ("selected", "least", "random"):
            tables = [t for (dose, name, _), t in zip(named, answers, strict=True) if (dose, name) == (k, which)]
            if tables:
                row = {"scorer": scorer, "function": function, "k": k, "set": which}
                rows.append({**row, **_summary(tables, function, n_boot, seed)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _summary(tables: list[pd.DataFrame], function: str, n_boot: int, seed: int) -> dict[str, float | int]:
    rows = [of_function(table, function) for table in tables]
    n = int(rows[0].sum())
    if not n:
        return {"accuracy": np.nan, "low": np.nan, "high": np.nan, "unparsable": np.nan, "n": 0}
    right = [table["correct"].to_numpy(float)[chosen] for table, chosen in zip(tables, rows, strict=True)]
    odd = [table["unparsable"].to_numpy(float)[chosen] for table, chosen in zip(tables, rows, strict=True)]
    accuracies = [float(part.mean()) for part in right]
    if len(right) == 1:
        low, high = interval(right[0], scenes_of(tables[0])[rows[0]], n_boot, seed)
    else:
        low, high = (float(bound) for bound in np.quantile(accuracies, [0.025, 0.975]))
    return {"accuracy": float(np.mean(accuracies)), "low": low, "high": high, "unparsable": float(np.mean(odd)), "n": n}
