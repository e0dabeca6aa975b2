"""The tables of judged methods: gains, controls, strengths, and whether each method helps.

Everything is paired by step, and scenes are resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool

from headatlas import stats
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention.effects import check_paired, final, of_function, spatial
from headatlas.latent.methods.base import REFERENCE, Method
from headatlas.results import RESULTS
from headatlas.stats import Estimate

LEVEL = 0.05

OFF_TASK = "off_task"
"""The group of all steps that are not spatial."""


@dataclass(frozen=True)
class Answered:
    """Answers of split E in gold and own context, and their cost (seconds, bytes)."""

    gold: pd.DataFrame
    own: pd.DataFrame | None
    seconds: float
    memory: float

    def by(self, method: Method) -> MethodRun:
        """These answers as those of a method."""
        return MethodRun(self.gold, self.own, self.seconds, self.memory, method)


@dataclass(frozen=True)
class MethodRun(Answered):
    """Answers with a method in force."""

    method: Method


def score_change(
    before: pd.DataFrame, after: pd.DataFrame, rows: Bool[np.ndarray, " N"] | None = None, n_boot: int = 10_000
) -> Estimate:
    """The paired change of accuracy on `rows` with its interval and p; without `rows`, the change of the spatial score, which is
    the mean of both spatial functions' accuracies. Scenes are resampled. NaN where there is no such step."""
    check_paired(before, after)
    difference = after["correct"].to_numpy(float) - before["correct"].to_numpy(float)
    scene = before["scene"].to_numpy()
    on = spatial(before) if rows is None else rows
    if not on.any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    if rows is not None:
        return stats.cluster_bootstrap(difference[rows], scene[rows], n=n_boot)
    return stats.bootstrap_groups(difference[on], before["function"].to_numpy()[on], scene[on], n=n_boot)


def _p_of(before: pd.DataFrame, after: pd.DataFrame, rows: Bool[np.ndarray, " N"]) -> float:
    """p of McNemar's test on `rows`, clustered by scene."""
    check_paired(before, after)
    return stats.clustered_mcnemar(before["correct"][rows], after["correct"][rows], before["scene"][rows])


def groups_of(table: pd.DataFrame) -> dict[str, Bool[np.ndarray, " N"] | None]:
    """Groups of steps by name: `spatial` (None: the spatial score), the eight functions, `final`, `off_task`, and each question
    type as `type:NAME`; only those that have steps."""
    every = {function: of_function(table, function) for function in FUNCTIONS}
    every |= {"final": final(table), OFF_TASK: ~spatial(table)}
    every |= {
        f"type:{name}": (table["family"] == name).to_numpy(bool) for name in sorted(set(table["family"].dropna()))
    }
    score = {"spatial": None} if spatial(table).any() else {}
    return {**score, **{name: rows for name, rows in every.items() if rows.any()}}


def gains_table(bare: Answered, runs: dict[str, MethodRun], n_boot: int) -> pd.DataFrame:
    """Rows of results/method_gains.csv."""
    rows = []
    for name, run in runs.items():
        for context, before, after in (("gold", bare.gold, run.gold), ("own", bare.own, run.own)):
            if before is None or after is None:
                continue
            for group, some in groups_of(before).items():
                on = spatial(before) if some is None else some
                change = score_change(before, after, some, n_boot)
                was = _level(before, some)
                rows.append(
                    {
                        "method": name, "context": context, "group": group, "before": was, "after": was + change.value,
                        "gain": change.value, "low": change.low, "high": change.high, "p": _p_of(before, after, on),
                        "unparsable_before": float(before["unparsable"].to_numpy(float)[on].mean()),
                        "unparsable_after": float(after["unparsable"].to_numpy(float)[on].mean()), "n": int(on.sum()),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RESULTS["method_gains"].names))


def _level(table: pd.DataFrame, rows: Bool[np.ndarray, " N"] | None) -> float:
    right = table["correct"].to_numpy(float)
    if rows is not None:
        return float(right[rows].mean())
    return float(np.mean([right[of_function(table, f)].mean() for f in SPATIAL if of_function(table, f).any()]))


def controls_table(
    bare: pd.DataFrame, runs: dict[str, MethodRun], controls: dict[tuple[str, str], list[pd.DataFrame]], n_boot: int
) -> pd.DataFrame:
    """Rows of results/method_controls.csv; `controls` has the answers of each draw by method and kind of control."""
    rows = []
    for (name, kind), drawn in controls.items():
        # Draws are averaged step by step: more draws must not narrow the interval, which comes from the scenes.
        average = bare.assign(correct=np.mean([table["correct"].to_numpy(float) for table in drawn], axis=0))
        beyond = score_change(average, runs[name].gold, n_boot=n_boot)
        rows.append(
            {
                "method": name, "control": kind, "draws": len(drawn), "gain": score_change(bare, average, n_boot=100).value,
                "beyond": beyond.value, "low": beyond.low, "high": beyond.high, "p": beyond.p,
                "required": kind not in REFERENCE,
            }
        )  # fmt: skip
    table = pd.DataFrame(
        rows, columns=[name for name in RESULTS["method_controls"].names if name not in ("q", "beaten")]
    )
    required = table["required"].astype(bool).to_numpy()
    q = np.full(len(table), np.nan)
    if required.any():
        q[required] = stats.benjamini_hochberg(table["p"].to_numpy(float)[required])
    table["q"] = q
    table["beaten"] = (table["low"].to_numpy(float) > 0) & (np.nan_to_num(q, nan=0.0) <= LEVEL)
    return table[list(RESULTS["method_controls"].names)]


def strengths_table(runs: dict[str, MethodRun]) -> pd.DataFrame:
    """Rows of results/method_strengths.csv."""
    columns = ("value", "setting", "accuracy", "logprob", "off_task", "unparsable", "chosen")
    rows = [
        {"method": name} | {column: getattr(one, column) for column in columns}
        for name, run in runs.items()
        for one in getattr(run.method, "strengths", ())
    ]
    return pd.DataFrame(rows, columns=list(RESULTS["method_strengths"].names))


def methods_table(bare: Answered, runs: dict[str, MethodRun], controls: pd.DataFrame, n_boot: int) -> pd.DataFrame:
    """Rows of results/methods.csv; `controls` are those of `controls_table`."""
    rows, on = [], spatial(bare.gold)
    for name, run in runs.items():
        gain, off = score_change(bare.gold, run.gold, n_boot=n_boot), score_change(bare.gold, run.gold, ~on, n_boot)
        cost, heads = run.method.cost, HeadSet(getattr(run.method, "heads", ()))
        own: Estimate = Estimate(np.nan, np.nan, np.nan, 0)
        last = own
        if bare.own is not None and run.own is not None:
            own = score_change(bare.own, run.own, n_boot=n_boot)
            last = score_change(bare.own, run.own, final(bare.own), n_boot)
        rows.append(
            {
                "method": name, "before": 100 * _level(bare.gold, None), "after": 100 * _level(run.gold, None),
                **_points("", gain), "p": _p_of(bare.gold, run.gold, on), **_points("own_", own),
                **_points("final_", last), **_points("off_task_", off),
                "unparsable_before": float(bare.gold["unparsable"].mean()),
                "unparsable_after": float(run.gold["unparsable"].mean()), "n": int(on.sum()), "n_heads": len(heads),
                "heads": str(heads) if len(heads) < on.size and len(heads) <= 64 else "", "parameters": cost.parameters,
                "images": cost.images, "time": run.seconds / bare.seconds, "memory": (run.memory - bare.memory) / 1e6,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    if table.empty:
        return RESULTS["methods"].empty()
    table["q"] = stats.benjamini_hochberg(table["p"].to_numpy(float))
    verdicts = [_verdict(row, runs[str(row["method"])].method, controls) for _, row in table.iterrows()]
    table["helps"], table["reason"] = [not reason for reason in verdicts], verdicts
    return table[list(RESULTS["methods"].names)]


def _points(prefix: str, change: Estimate) -> dict[str, float]:
    return {f"{prefix}gain": 100 * change.value, f"{prefix}low": 100 * change.low, f"{prefix}high": 100 * change.high}


def _verdict(row: pd.Series, method: Method, controls: pd.DataFrame) -> str:
    """Why the method does not help; "" if it does."""
    nothing = getattr(method, "reason", "")
    if nothing:
        return nothing
    if not row["low"] > 0:
        return f"the interval of its gain includes 0 ({row['low']:.1f} to {row['high']:.1f} points)"
    if not row["q"] <= LEVEL:
        return f"its gain does not hold after correction over methods (q = {row['q']:.3f})"
    mine = controls[(controls["method"] == row["method"]) & controls["required"].astype(bool)]
    if mine.empty:
        return "it has no control to be compared with"
    lost = mine[~mine["beaten"].astype(bool)]
    return "; ".join(
        f"its control {one['control']} gains {100 * one['gain']:.1f} points; the method gains {100 * one['beyond']:.1f} more "
        f"({100 * one['low']:.1f} to {100 * one['high']:.1f})"
        for _, one in lost.iterrows()
    )
