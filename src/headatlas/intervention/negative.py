"""Negative intervention: remove a function's heads and compare the drop in its steps with that of random head sets.

Three numbers qualify the drop, each with its 95 % interval:

* `beyond`: the drop less the mean drop under random sets of as many heads, on the same questions;
* `specific`: the drop in the function's steps less the mean drop in the steps of the non-spatial functions;
* `parsable_drop`: the drop among the answers that can still be read. A set that makes most answers unreadable breaks the model,
  which shows nothing about the function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas import stats
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import effect, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress
from headatlas.results import RESULTS

N_JOINT = 2_000
"""Resamples in which scenes and control sets are drawn together."""


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
        A row of `results/negative.csv`. `drop` = before - after with its interval; `random_drop` is the controls' mean and
        `random_low`, `random_high` their 2.5 and 97.5 % quantiles. `beyond` = drop - random_drop, scenes and sets resampled
        together; `p` = (1 + #{random drop >= drop}) / (R + 1). NaN where there is nothing to test.
    """
    before = runner.baseline(split)
    rows = of_function(before, function)
    k = len(heads)
    row: dict[str, object] = dict.fromkeys(RESULTS["negative"].names, np.nan)
    row |= {"scorer": scorer, "function": function, "operation": operation, "k": k, "n_random": 0, "match": ""}
    row |= {"heads": " ".join(str(head) for head in heads)}
    result = effect(before, before, rows, n_boot, seed)
    if k:
        name = f"{operation} {k} heads of {function}"
        after = runner.run(Condition(name, (ablate(heads, operation, means),), scope), split)
        result = effect(before, after, rows, n_boot, seed)
        row |= {"p_mcnemar": result.p_mcnemar}
        if result.n:
            row |= _specific(before, after, function, n_boot, seed) | _parsable(before, after, rows, n_boot, seed)
        conditions = [
            Condition(f"{name}: random {i}", (ablate(chosen, operation, means),), scope)
            for i, chosen in enumerate(controls, 1)
        ]
        randoms = runner.run_many(conditions, split, progress)
        if len(randoms) and result.n:
            row |= _beyond(before, after, randoms, function, seed)
            row |= {"match": controls[0].reason.removeprefix("random, ")}
    drop = -result.change if result.change else 0.0
    row |= {"before": result.before, "after": result.after, "drop": drop, "low": -result.high, "high": -result.low}
    row |= {"unparsable_before": result.unparsable_before, "unparsable_after": result.unparsable_after, "n": result.n}
    return {name: row[name] for name in RESULTS["negative"].names}


def _beyond(
    before: pd.DataFrame, after: pd.DataFrame, randoms: Sequence[pd.DataFrame], function: str, seed: int
) -> dict[str, object]:
    """The drop compared with that of the controls, on the same steps."""
    rows = of_function(before, function)
    was = before["correct"].to_numpy(float)[rows]
    own = was - after["correct"].to_numpy(float)[rows]
    theirs = np.stack([was - random["correct"].to_numpy(float)[rows] for random in randoms])  # [R, N]
    drops = theirs.mean(1)
    low, high = np.quantile(drops, [0.025, 0.975])
    bounds = joint_interval(own, theirs, scenes_of(before)[rows], seed)
    return {
        "random_drop": float(drops.mean()),
        "random_low": float(low),
        "random_high": float(high),
        "n_random": len(drops),
        "p": stats.random_control_p(own.mean(), drops),
        "beyond": round(float(own.mean() - drops.mean()), 12),
        "beyond_low": bounds[0],
        "beyond_high": bounds[1],
    }


def joint_interval(
    own: Float[np.ndarray, " N"],
    controls: Float[np.ndarray, "R N"],
    scenes: np.ndarray,
    seed: int = 0,
    n_boot: int = N_JOINT,
) -> tuple[float, float]:
    """95 % interval of mean(own) - mean(controls) over the same steps, scenes and controls both resampled.

    NaN with a single scene.
    """
    names, place = np.unique(scenes.astype(str), return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    sums = np.zeros((len(names), 1 + len(controls)))
    np.add.at(sums, place, np.concatenate([own[None], controls]).T)
    sizes = np.bincount(place, minlength=len(names))
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_boot)  # [B, K]
    means = (weights @ sums) / (weights @ sizes)[:, None]
    drawn = rng.integers(0, len(controls), size=(n_boot, len(controls)))
    draws = means[:, 0] - np.take_along_axis(means[:, 1:], drawn, 1).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return round(float(low), 12), round(float(high), 12)  # so that rounding does not decide whether a bound is above 0


def _specific(before: pd.DataFrame, after: pd.DataFrame, function: str, n_boot: int, seed: int) -> dict[str, float]:
    """The drop in the function's steps less the mean drop in those of the other, non-spatial functions."""
    there = set(before["function"])
    others = [name for name in FUNCTIONS if name in there and name not in (*SPATIAL, function)]
    if not others:
        return {}
    lost = before["correct"].to_numpy(float) - after["correct"].to_numpy(float)
    weights = {function: 1.0, **{name: -1 / len(others) for name in others}}
    estimate = stats.bootstrap_groups(lost, before["function"], scenes_of(before), weights, n=n_boot, seed=seed)
    return {"specific": estimate.value, "specific_low": estimate.low, "specific_high": estimate.high}


def _parsable(before: pd.DataFrame, after: pd.DataFrame, rows: np.ndarray, n_boot: int, seed: int) -> dict[str, float]:
    """The drop among the steps whose answer can still be read, which may be none."""
    read = rows & ~after["unparsable"].to_numpy(bool)
    if not read.any():
        return {"parsable_drop": np.nan, "parsable_low": np.nan, "parsable_high": np.nan}
    result = effect(before, after, read, n_boot, seed)
    return {"parsable_drop": -result.change + 0.0, "parsable_low": -result.high, "parsable_high": -result.low}


def add_q(table: pd.DataFrame, p: str = "p", q: str = "q") -> pd.DataFrame:
    """A copy with column `q`: Benjamini-Hochberg adjusted p-values over all rows that have a p, NaN in the others."""
    out = table.copy()
    out[q] = stats.benjamini_hochberg(out[p].to_numpy(float))
    return out
