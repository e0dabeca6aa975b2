"""The effect of a condition on some steps: two answers tables compared step by step, resampled by scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas import stats
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import SPATIAL, check_function

KEYS = ["question", "step"]

Rows = Bool[np.ndarray, " N"]


@dataclass(frozen=True)
class Effect:
    """Accuracies in 0..1 on the same `n` steps; `change` = after - before with its 95 % interval.

    `p_mcnemar` is exact and two-sided. Without steps everything is NaN and n is 0.
    """

    before: float
    after: float
    change: float
    low: float
    high: float
    p_mcnemar: float
    unparsable_before: float
    unparsable_after: float
    n: int


def effect(before: pd.DataFrame, after: pd.DataFrame, rows: Rows, n_boot: int = 10_000, seed: int = 0) -> Effect:
    """What changes between two answers tables on the steps selected by `rows`.

    The interval is a cluster bootstrap over scenes (`scenes_of`).

    Raises:
        ValueError: the tables are not of the same steps in the same order.
    """
    check_paired(before, after)
    n = int(rows.sum())
    if not n:
        nan = float("nan")
        return Effect(nan, nan, nan, nan, nan, nan, nan, nan, 0)
    was, is_now = before["correct"].to_numpy(bool)[rows], after["correct"].to_numpy(bool)[rows]
    difference = is_now.astype(float) - was.astype(float)
    low, high = interval(difference, scenes_of(before)[rows], n_boot, seed)
    return Effect(
        before=float(was.mean()),
        after=float(is_now.mean()),
        change=float(difference.mean()),
        low=low,
        high=high,
        p_mcnemar=stats.mcnemar(was, is_now),
        unparsable_before=float(before["unparsable"].to_numpy(float)[rows].mean()),
        unparsable_after=float(after["unparsable"].to_numpy(float)[rows].mean()),
        n=n,
    )


def change(before: pd.DataFrame, after: pd.DataFrame, rows: Rows) -> float:
    """Change of accuracy alone, for controls that are evaluated many times; NaN without steps."""
    check_paired(before, after)
    if not rows.any():
        return float("nan")
    return float(after["correct"].to_numpy(float)[rows].mean() - before["correct"].to_numpy(float)[rows].mean())


def interval(
    values: Float[np.ndarray, " N"], scenes: np.ndarray | pd.Series, n_boot: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """95 % cluster-bootstrap interval of a mean over steps; scenes are resampled with all their questions and steps."""
    estimate = stats.cluster_bootstrap(values, scenes, n=n_boot, seed=seed)
    return estimate.low, estimate.high


def of_function(table: pd.DataFrame, function: str) -> Rows:
    """Steps whose primary function it is; every step has one primary function, so effects do not overlap."""
    return (table["function"] == check_function(function)).to_numpy(bool)


def spatial(table: pd.DataFrame) -> Rows:
    """Steps whose primary function is spatial."""
    return table["function"].isin(SPATIAL).to_numpy(bool)


def final(table: pd.DataFrame) -> Rows:
    """The last step of every question: the question's own answer."""
    return (table["step"] == table["n_steps"] - 1).to_numpy(bool)


def check_paired(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Raise ValueError unless both tables have the same steps in the same order."""
    same = len(before) == len(after) and all((before[key].to_numpy() == after[key].to_numpy()).all() for key in KEYS)
    if not same:
        raise ValueError(
            f"both tables must be of the same steps in the same order, got {len(before)} and {len(after)} rows"
        )
