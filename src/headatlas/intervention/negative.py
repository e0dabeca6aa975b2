"""Negative intervention: remove a function's heads and compare the drop in its steps with that of random head sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from headatlas import stats
from headatlas.heads import HeadSet
from headatlas.intervention.condition import Condition, Progress, Runner
from headatlas.intervention.effects import change, effect, of_function
from headatlas.intervention.operations import Means, ablate


def negative(
    runner: Runner,
    heads: HeadSet,
    function: str,
    controls: Sequence[HeadSet],
    operation: str = "mean",
    means: Means | None = None,
    scorer: str = "",
    split: str = "E",
    scope: str = "all",
    n_boot: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Remove `heads` and compare the steps of `function` with those of the bare model and of the controls.

    Args:
        runner: evaluates conditions, cached.
        heads: the function's heads. Without heads nothing changes: drop 0, no p.
        function: whose steps are looked at (primary function).
        controls: random head sets of the same size, see `random_sets`.
        operation: `mean`, `zero` or `scale`, see `ablate`.
        means: mean z from split P, needed by `mean`.
        scorer: name that is written in the row.
        split: evaluated split, or a part of it such as "E[:150]"; the controls are evaluated on the same questions.
        scope: token positions of the edit.
        n_boot: bootstrap resamples.
        seed: seed of the bootstrap.
        progress: called after each condition.

    Returns:
        A row: drop = before - after with its interval; `random_drop` is the controls' mean and `random_low`,
        `random_high` their 2.5 and 97.5 % quantiles; `p` = (1 + #{random drop >= drop}) / (R + 1); nan where there is
        nothing to test.
    """
    before = runner.baseline(split)
    rows = of_function(before, function)
    k = len(heads)
    drops: list[float] = []
    found = effect(before, before, rows, n_boot, seed)
    if k:
        name = f"{operation} {k} heads of {function}"
        after = runner.run(Condition(name, (ablate(heads, operation, means),), scope), split)
        found = effect(before, after, rows, n_boot, seed)
        conditions = [
            Condition(f"{name}: random {i}", (ablate(chosen, operation, means),), scope)
            for i, chosen in enumerate(controls, 1)
        ]
        drops = [-change(before, random, rows) for random in runner.run_many(conditions, split, progress)]
    drop = -found.change if found.change else 0.0
    tested = bool(k and drops and found.n)
    low, high = np.quantile(drops, [0.025, 0.975]) if tested else (np.nan, np.nan)
    return {
        "scorer": scorer,
        "function": function,
        "operation": operation,
        "k": k,
        "heads": " ".join(str(head) for head in heads),
        "before": found.before,
        "after": found.after,
        "drop": drop,
        "low": -found.high,
        "high": -found.low,
        "random_drop": float(np.mean(drops)) if tested else np.nan,
        "random_low": float(low),
        "random_high": float(high),
        "n_random": len(drops),
        "p": stats.random_control_p(drop, drops) if tested else np.nan,
        "p_mcnemar": found.p_mcnemar if k else np.nan,
        "q": np.nan,
        "unparsable_before": found.unparsable_before,
        "unparsable_after": found.unparsable_after,
        "n": found.n,
    }


def add_q(table: pd.DataFrame, p: str = "p", q: str = "q") -> pd.DataFrame:
    """A copy with column `q`: Benjamini-Hochberg adjusted p-values over all rows that have a p, NaN in the others."""
    out = table.copy()
    out[q] = stats.benjamini_hochberg(out[p].to_numpy(float))
    return out
