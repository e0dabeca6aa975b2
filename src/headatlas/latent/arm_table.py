"""The gain of each way of showing the image: rows of `results/activation.csv`, from the arms' answers tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from headatlas import stats
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.intervention.effects import Rows, check_paired, effect, final, of_function, spatial
from headatlas.latent.methods.sha import ARMS, ORIGINAL
from headatlas.results import RESULTS


def activation_table(
    tables: Mapping[str, pd.DataFrame],
    controls: Mapping[str, str] | None = None,
    n_boot: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every arm with `original` and with its control, group by group.

    Args:
        tables: answers tables by arm, of the same steps; `original` among them.
        controls: the control of each arm that has one; by default those of the registered arms.
        n_boot, seed: of the intervals.

    Returns:
        A row for each arm and group: the eight functions, `spatial` (both spatial functions together) and `final` (the
        last step of every question). `low`, `high` bound the gain (paired cluster bootstrap over scenes), `p` is the
        exact two-sided McNemar test against `original`, whose own rows have gain 0 and NaN p. `beyond` with its interval
        and two-sided p is the paired difference from the control on the same steps, NaN for arms without one. A group
        without steps has no row.

    Raises:
        HeadAtlasError: no table of `original`.
    """
    if ORIGINAL not in tables:
        raise HeadAtlasError(f"tables must have one of the arm {ORIGINAL!r}, got {', '.join(tables) or 'none'}")
    if controls is None:
        controls = {name: kind.control for name, kind in ARMS.items()}
    before = tables[ORIGINAL]
    rows = []
    for arm, after in tables.items():
        control = controls.get(arm, "")
        control = control if control in tables else ""
        for group, chosen in groups(before).items():
            gained = effect(before, after, chosen, n_boot, seed)
            rows.append(
                {
                    "arm": arm,
                    "group": group,
                    "accuracy": gained.after,
                    "gain": gained.change,
                    "low": gained.low,
                    "high": gained.high,
                    "p": np.nan if arm == ORIGINAL else gained.p_mcnemar,
                    "control": control,
                    **_beyond(tables[control] if control else None, after, chosen, n_boot, seed),
                    "unparsable": gained.unparsable_after,
                    "n": gained.n,
                }
            )
    return pd.DataFrame(rows, columns=list(RESULTS["activation"].names))


def _beyond(control: pd.DataFrame | None, after: pd.DataFrame, rows: Rows, n_boot: int, seed: int) -> dict[str, float]:
    """The paired difference from the control on the same steps."""
    if control is None:
        return dict.fromkeys(("beyond", "beyond_low", "beyond_high", "beyond_p"), np.nan)
    check_paired(control, after)
    paired = stats.paired_bootstrap(
        control["correct"].to_numpy(float)[rows], after["correct"].to_numpy(float)[rows],
        scenes_of(after)[rows], n=n_boot, seed=seed,
    )  # fmt: skip
    return {"beyond": paired.value, "beyond_low": paired.low, "beyond_high": paired.high, "beyond_p": paired.p}


def groups(table: pd.DataFrame) -> dict[str, Rows]:
    """The groups of steps by name; only those that have steps."""
    every = {function: of_function(table, function) for function in FUNCTIONS}
    every |= {"spatial": spatial(table), "final": final(table)}
    return {name: rows for name, rows in every.items() if rows.any()}
