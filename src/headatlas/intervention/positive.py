"""Positive intervention: steer heads towards right answers, with a strength tuned on split T and evaluated once on split E."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from headatlas import stats
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.directions import Directions
from headatlas.intervention.effects import Rows, change, effect, of_function, spatial
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

GRID = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Strengths tried, in standard deviations; 0.1 is the paper's."""

COLUMNS = [
    *("scorer", "function", "alpha", "arm", "before", "after", "gain", "low", "high", "p", "q"),
    *("unparsable_after", "n_draws", "n", "off_task_gain"),
]


def tune(
    runner: Runner,
    heads: Heads,
    directions: Directions,
    function: str,
    grid: Sequence[float] = GRID,
    scorer: str = "",
    split: str = "T",
    scope: str = "all",
    progress: Progress | None = None,
) -> tuple[float, pd.DataFrame]:
    """Choose the strength with the best accuracy on the steps of `function` in `split`; among equals the weakest.

    Returns:
        The strength, and rows of `results/tuning.csv`, one a strength tried.

    Raises:
        HeadAtlasError: tuning on split E, an empty grid or head set, or no direction.
    """
    heads = as_heads(heads)
    if split == "E":
        raise HeadAtlasError("a strength must not be tuned on split 'E', on which it is evaluated: use split='T'")
    if not grid or not heads:
        raise HeadAtlasError(f"tuning needs strengths and heads, got {len(grid)} strengths and {len(heads)} heads")
    strengths = sorted(grid)
    conditions = [
        Condition(f"steer {function} by {alpha:g}", (directions.edit(heads, alpha),), scope) for alpha in strengths
    ]
    tables = runner.run_many(conditions, split, progress)
    accuracies = [float(table["correct"].to_numpy(float)[of_function(table, function)].mean()) for table in tables]
    best = strengths[int(np.argmax(accuracies))]
    common = {"what": "alpha", "scorer": scorer, "function": function}
    rows = [
        {**common, "value": alpha, "accuracy": accuracy, "chosen": alpha == best}
        for alpha, accuracy in zip(strengths, accuracies, strict=True)
    ]
    return best, pd.DataFrame(rows)


def positive(
    runner: Runner,
    heads: Heads,
    directions: Directions,
    function: str,
    alpha: float,
    shuffled: Sequence[Directions] = (),
    random_heads: Sequence[HeadSet] = (),
    n_random: int = 20,
    scorer: str = "",
    split: str = "E",
    scope: str = "all",
    n_boot: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Steer `heads` by `alpha`, and every control, on `split`.

    Args:
        runner: evaluates conditions, cached.
        heads: heads to steer.
        directions: of all heads, from split P.
        function: the function whose steps are measured.
        alpha: strength, from `tune`.
        shuffled: directions of permuted labels (`directions(shuffle=...)`), for the arm `shuffled`.
        random_heads: head sets (`random_sets`), steered along their own directions, for the arm `random_heads`.
        n_random: random directions, for the arm `random_direction`.
        scorer: name that is written in the rows.
        split: evaluated split, or a part of it such as "E[:150]"; every arm is evaluated on the same questions.
        scope: token positions of the edit.
        n_boot, seed: of intervals and random directions.
        progress: called after each condition.

    Returns:
        One row per arm. `steer` and `flipped` are one condition each: `low`, `high` bootstrap the gain over questions
        and `p` is the exact two-sided McNemar. The other arms are many draws: gain is their mean, `low`, `high` its 2.5
        and 97.5 % quantiles, and `p` = (1 + #{gain of a draw >= gain of `steer`}) / (R + 1). `off_task_gain`: change on
        the steps of other, non-spatial functions. `q` is left to `add_q`.

    Raises:
        HeadAtlasError: there is no direction, or no head.
    """
    heads = as_heads(heads)
    if not heads:
        raise HeadAtlasError(f"no heads of {function} to steer: {heads.reason}")
    rng = np.random.default_rng([seed, 1])
    single = {"steer": directions, "flipped": directions.flipped()}
    draws: dict[str, list[tuple[Directions, HeadSet]]] = {
        "random_direction": [(directions.random(rng), heads) for _ in range(n_random)],
        "shuffled": [(other, heads) for other in shuffled if other.usable],
        "random_heads": [(directions, others) for others in random_heads],
    }

    def condition(arm: str, direction: Directions, chosen: HeadSet) -> Condition:
        return Condition(f"{arm} {function} by {alpha:g}", (direction.edit(chosen, alpha),), scope)

    common = {"scorer": scorer, "function": function, "alpha": alpha}
    before = runner.baseline(split)
    rows, off = of_function(before, function), ~of_function(before, function) & ~spatial(before)
    table = []
    steered, flipped = runner.run_many([condition(arm, d, heads) for arm, d in single.items()], split, progress)
    for arm, after in (("steer", steered), ("flipped", flipped)):
        row = _one(before, after, rows, n_boot, seed)
        table.append({**common, "arm": arm, "q": np.nan, **row, "off_task_gain": change(before, after, off)})

    gain = change(before, steered, rows)
    for arm, pairs in draws.items():
        if pairs:
            conditions = [condition(arm, direction, chosen) for direction, chosen in pairs]
            answers = runner.run_many(conditions, split, progress)
            row = _many(before, answers, rows, gain)
            row["off_task_gain"] = float(np.mean([change(before, after, off) for after in answers]))
            table.append({**common, "arm": arm, "q": np.nan, **row})
    return pd.DataFrame(table, columns=COLUMNS)


def _one(before: pd.DataFrame, after: pd.DataFrame, rows: Rows, n_boot: int, seed: int) -> dict[str, float]:
    result = effect(before, after, rows, n_boot, seed)
    return {
        "before": result.before,
        "after": result.after,
        "gain": result.change,
        "low": result.low,
        "high": result.high,
        "p": result.p_mcnemar,
        "unparsable_after": result.unparsable_after,
        "n_draws": 1,
        "n": result.n,
    }


def _many(before: pd.DataFrame, answers: Sequence[pd.DataFrame], rows: Rows, steered: float) -> dict[str, float]:
    gains = [change(before, after, rows) for after in answers]
    low, high = np.quantile(gains, [0.025, 0.975])
    was = float(before["correct"].to_numpy(float)[rows].mean()) if rows.any() else np.nan
    return {
        "before": was,
        "after": was + float(np.mean(gains)),
        "gain": float(np.mean(gains)),
        "low": float(low),
        "high": float(high),
        "p": stats.random_control_p(steered, np.array(gains)) if rows.any() else np.nan,
        "unparsable_after": float(np.mean([after["unparsable"].to_numpy(float)[rows].mean() for after in answers])),
        "n_draws": len(answers),
        "n": int(rows.sum()),
    }
