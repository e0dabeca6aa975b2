"""The damage matrix: each function's heads are removed in turn, and the drop is measured in each function's steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import effect, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

COLUMNS = ["scorer", "heads_of", "steps_of", "k", "drop", "low", "high", "n"]


def damage_matrix(
    runner: Runner,
    sets: Mapping[str, Heads],
    operation: str = "mean",
    means: Means | None = None,
    scorer: str = "",
    split: str = "E",
    scope: str = "all",
    n_boot: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Remove each function's heads and measure the drop in each function's steps; one condition per row of the matrix.

    Args:
        runner: evaluates conditions, cached.
        sets: heads by function; an empty set is a row of zeros.
        operation, means, scope: as in `negative`.
        scorer: name that is written in the rows.
        split: evaluated split.
        n_boot, seed: of the intervals.
        progress: called after each condition.

    Returns:
        Rows of `results/damage.csv`, one per pair (heads_of, steps_of), the functions in the order of `FUNCTIONS`; NaN where
        a function has no step.
    """
    before = runner.baseline(split)
    named = {function: as_heads(sets[function]) for function in FUNCTIONS if function in sets}
    conditions = [
        Condition(f"{operation} {len(heads)} heads of {f}", (ablate(heads, operation, means),) if heads else (), scope)
        for f, heads in named.items()
    ]
    rows = []
    for heads_of, after in zip(named, runner.run_many(conditions, split, progress), strict=True):
        for steps_of in FUNCTIONS:
            result = effect(before, after, of_function(before, steps_of), n_boot, seed)
            bounds = {"drop": -result.change, "low": -result.high, "high": -result.low, "n": result.n}
            rows.append(
                {"scorer": scorer, "heads_of": heads_of, "steps_of": steps_of, "k": len(sets[heads_of]), **bounds}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def specificity(table: pd.DataFrame) -> pd.Series:
    """Drop in a function's own steps minus the mean drop in the other functions' steps, -1..1 (index `heads_of`).

    Args:
        table: a damage matrix of one scorer. Functions without steps (NaN) are left out of the mean.
    """
    own = table["heads_of"] == table["steps_of"]
    diagonal = table[own].set_index("heads_of")["drop"]
    others = table[~own].groupby("heads_of")["drop"].mean()
    return (diagonal - others).reindex([f for f in FUNCTIONS if f in diagonal.index]).rename("specificity")


def matrix(table: pd.DataFrame, value: str = "drop") -> np.ndarray:
    """The table as a square array, heads_of x steps_of, both in the order of `FUNCTIONS`; NaN where there is no row."""
    wide = table.pivot(index="heads_of", columns="steps_of", values=value)
    return wide.reindex(index=list(FUNCTIONS), columns=list(FUNCTIONS)).to_numpy(float)
