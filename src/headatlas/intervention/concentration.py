"""How sparse a function is: the damage of removing a ranking's best heads, as a share of the damage of removing all heads.

The number of heads that pass a test grows with the number of questions. Here a function is sparse if removing a small share of
the heads does most of the damage of removing all, and more than random sets of the same size do on average. (It need not exceed
every random set, because some of them contain the few heads that matter.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas import stats
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.heads import Head, HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.controls import LEAST
from headatlas.intervention.effects import of_function
from headatlas.intervention.negative import joint_interval
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress
from headatlas.results import RESULTS

FORM = 0.5
"""Share of the lost answers that may be unreadable; beyond it heads serve the form of answers rather than the function."""

SPARSE = 0.1
"""Largest share of all heads that a sparse function may need."""

MOST = 0.75
"""Share of the damage of removing all heads that those few must do, by the lower bound of its interval."""


def concentration(
    runner: Runner,
    rankings: Mapping[str, Heads],
    shape: tuple[int, int],
    doses: Sequence[int],
    operation: str = "mean",
    means: Means | None = None,
    scorer: str = "",
    split: str = "E",
    n_random: int = LEAST,
    n_boot: int = 2_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Remove the best heads of every function, all heads, and random sets, and compare the drops in the function's steps.

    Args:
        runner: evaluates conditions, cached.
        rankings: all heads by function, best first.
        shape: (L, H) of the model.
        doses: numbers of heads, ascending; the last one is compared with random sets.
        operation, means: as in `negative`.
        scorer: name that is written in the rows.
        split: evaluated split, or a part of it such as "E[:150]".
        n_random: random sets, drawn from all heads, the same for all functions.
        n_boot, seed: of the interval, over scenes.
        progress: called after each condition.

    Returns:
        Rows of `results/concentration.csv`, one per function and dose. `ratio` is the drop with the best `k` heads removed as a
        share of the drop with all heads removed, with its interval; `random_ratio` is the mean of the random sets' ratios,
        `beyond` the drop less theirs, with its interval (scenes and sets resampled). `form` is the share
        of unreadable answers among those that were right and are lost. NaN where removing all heads does no damage, as in a model
        at chance.
    """
    before = runner.baseline(split)
    every = HeadSet([Head(layer, head) for layer in range(shape[0]) for head in range(shape[1])])
    most = doses[-1]
    sets = {(name, k): HeadSet(sorted(as_heads(ranking)[:k])) for name, ranking in rankings.items() for k in doses}
    chosen = [every, *sets.values()]
    conditions = [Condition(f"{operation} {len(one)} best heads", (ablate(one, operation, means),)) for one in chosen]
    tables = runner.run_many(conditions, split, progress)
    nothing = tables[0]
    best = dict(zip(sets, tables[1:], strict=True))
    controls = _anywhere(shape, most, n_random, seed)
    random = runner.run_many(
        [Condition(f"{operation} random {i}", (ablate(one, operation, means),)) for i, one in enumerate(controls, 1)],
        split,
        progress,
    )
    drawn = [table["correct"].to_numpy(float) for table in random]
    rows = []
    for name in (function for function in FUNCTIONS if function in rankings):
        inside = of_function(before, name)
        if not inside.any():
            continue
        was, scenes = before["correct"].to_numpy(float)[inside], scenes_of(before)[inside]
        whole = was - nothing["correct"].to_numpy(float)[inside]
        all_drop = stats.cluster_bootstrap(whole, scenes, n=n_boot, seed=seed)
        for k in doses:
            after = best[name, k]
            lost = was - after["correct"].to_numpy(float)[inside]
            ratio, low, high = _ratio(lost, whole, scenes, n_boot, seed)
            row = {"scorer": scorer, "function": name, "k": k, "share": k / len(every), "drop": float(lost.mean())}
            row |= {"all_drop": all_drop.value, "all_low": all_drop.low, "all_high": all_drop.high}
            row |= {"ratio": ratio, "low": low, "high": high, "random_ratio": np.nan, "n_random": 0}
            row |= {"beyond": np.nan, "beyond_low": np.nan, "beyond_high": np.nan, "form": np.nan}
            gone = (was > 0) & (after["correct"].to_numpy(float)[inside] == 0)
            if gone.any():
                row["form"] = float(after["unparsable"].to_numpy(float)[inside][gone].mean())
            row |= {"unparsable": float(after["unparsable"].to_numpy(float)[inside].mean()), "n": int(inside.sum())}
            if k == most and drawn:
                theirs = was - np.stack([one[inside] for one in drawn])  # [R, N]
                low, high = joint_interval(lost, theirs, scenes, seed, n_boot)
                ratio = float(theirs.mean() / all_drop.value) if all_drop.value > 0 else np.nan
                row |= {"n_random": len(theirs), "random_ratio": ratio, "beyond_low": low, "beyond_high": high}
                row |= {"beyond": round(float(lost.mean() - theirs.mean()), 12)}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(RESULTS["concentration"].names))


def _anywhere(shape: tuple[int, int], k: int, n: int, seed: int) -> list[HeadSet]:
    """Up to `n` different sets of `k` heads from the whole model."""
    rng = np.random.default_rng(seed)
    layers, heads = shape
    drawn: dict[tuple[int, ...], None] = {}
    for _ in range(30 * n):
        if len(drawn) == n:
            break
        drawn.setdefault(tuple(sorted(rng.choice(layers * heads, size=min(k, layers * heads), replace=False).tolist())))
    return [
        HeadSet([Head(i // heads, i % heads) for i in numbers], reason="random, from any layer") for numbers in drawn
    ]


def _ratio(
    lost: Float[np.ndarray, " N"], whole: Float[np.ndarray, " N"], scenes: np.ndarray, n_boot: int, seed: int
) -> tuple[float, float, float]:
    """Sum of `lost` over sum of `whole`, with its 95 % bootstrap interval; NaN unless the sum of `whole` is above 0."""
    names, place = np.unique(scenes.astype(str), return_inverse=True)
    above, below = np.bincount(place, weights=lost), np.bincount(place, weights=whole)
    if below.sum() <= 0 or len(names) < 2:
        return (float(lost.sum() / whole.sum()) if below.sum() > 0 else np.nan), np.nan, np.nan
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_boot)
    bottoms = weights @ below
    draws = (weights @ above)[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(lost.sum() / whole.sum()), float(low), float(high)
