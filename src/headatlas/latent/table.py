"""What each way of showing the image gains: rows of `results/activation.csv` (docs/architecture.md).

Knows answers tables of the arms; the runner makes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.intervention.condition import ORIGINAL, Condition, Progress, Runner
from headatlas.intervention.effects import Rows, effect, final, of_function, spatial

COLUMNS = ["arm", "group", "accuracy", "gain", "low", "high", "p", "unparsable", "n"]


def run_arms(runner: Runner, split: str = "E", progress: Progress | None = None) -> dict[str, pd.DataFrame]:
    """Answers tables of the runner's arms by name, `original` first.

    Raises:
        HeadAtlasError: The runner was made without arms.
    """
    if not runner.arms:
        raise HeadAtlasError("the runner has no arms: expected Runner(..., arms=latent.arms())")
    names = list(dict.fromkeys([ORIGINAL, *runner.arms]))
    tables = runner.run_many([Condition(f"shown as {name}", arm=name) for name in names], split, progress)
    return dict(zip(names, tables, strict=True))


def activation_table(tables: Mapping[str, pd.DataFrame], n_boot: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Compare every arm with `original`, group by group.

    Args:
        tables: Answers tables by arm, of the same steps; `original` among them.
        n_boot, seed: Of the intervals.

    Returns:
        A row for each arm and group: the eight functions, `spatial` (both spatial functions together) and `final` (the
        last step of every question). `low`, `high` bound the gain (paired cluster bootstrap over questions), `p` is the
        exact two-sided McNemar against `original`, whose own rows have gain 0 and nan p. A group without steps is left
        out.

    Raises:
        HeadAtlasError: No table of `original`.
    """
    if ORIGINAL not in tables:
        raise HeadAtlasError(
            f"expected a table of the arm {ORIGINAL!r} to compare with, came {', '.join(tables) or 'none'}"
        )
    before = tables[ORIGINAL]
    rows = []
    for arm, after in tables.items():
        for group, chosen in groups(before).items():
            found = effect(before, after, chosen, n_boot, seed)
            rows.append(
                {
                    "arm": arm,
                    "group": group,
                    "accuracy": found.after,
                    "gain": found.change,
                    "low": found.low,
                    "high": found.high,
                    "p": np.nan if arm == ORIGINAL else found.p_mcnemar,
                    "unparsable": found.unparsable_after,
                    "n": found.n,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def groups(table: pd.DataFrame) -> dict[str, Rows]:
    """The groups of steps that are told apart, by name; only those that have steps."""
    every = {function: of_function(table, function) for function in FUNCTIONS}
    every |= {"spatial": spatial(table), "final": final(table)}
    return {name: rows for name, rows in every.items() if rows.any()}
