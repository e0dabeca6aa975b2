"""Pairs of heads: the effect of removing two heads beyond the effects of removing each alone.

interaction = drop(a and b) - drop(a) - drop(b), in nats of the gold answer's log-probability. It is positive if the two heads are
redundant (each can replace the other) and negative if each needs the other (losing one does all the damage).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import interval, of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress

COLUMNS = [
    "function",
    "head_a",
    "head_b",
    "drop_a",
    "drop_b",
    "drop_both",
    "interaction",
    "low",
    "high",
    "accuracy_drop",
    "n",
]


def pair_effects(
    runner: Runner,
    heads: Heads,
    function: str,
    operation: str = "mean",
    means: Means | None = None,
    split: str = "S",
    scope: str = "all",
    n_boot: int = 2_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every pair inside `heads`, on the steps whose primary function is `function`.

    Args:
        runner: evaluates conditions, cached; forced mode.
        heads: two heads or more; k heads are k (k + 1) / 2 conditions.
        function: the function whose steps are measured.
        operation, means, scope: as in `negative`.
        split: evaluated split.
        n_boot, seed: of the interaction's 95 % interval over scenes.
        progress: called after each condition.

    Returns:
        One row per pair: mean drops (nats), `interaction` with `low`, `high` (nats), the drop in accuracy (0..1) without both,
        steps `n`.

    Raises:
        HeadAtlasError: fewer than two heads, or no step of the function.
    """
    heads = as_heads(heads)
    if len(heads) < 2:
        raise HeadAtlasError(f"pairs need at least two heads, got {len(heads)}")
    before = runner.baseline(split)
    rows = of_function(before, function)
    if not rows.any():
        raise HeadAtlasError(f"split {split!r} has no step of {function!r}")
    sets = [(head,) for head in heads] + list(combinations(heads, 2))
    conditions = [
        Condition(f"{operation} {' '.join(map(str, some))}", (ablate(HeadSet(some), operation, means),), scope)
        for some in sets
    ]
    tables = dict(zip(sets, runner.run_many(conditions, split, progress), strict=True))
    lost = {some: (before["logprob"] - table["logprob"]).to_numpy(float)[rows] for some, table in tables.items()}
    right = before["correct"].to_numpy(float)[rows]
    scenes = scenes_of(before)[rows]
    table_rows = []
    for a, b in combinations(heads, 2):
        more = lost[a, b] - lost[(a,)] - lost[(b,)]
        low, high = interval(more, scenes, n_boot, seed)
        drops = [float(lost[some].mean()) for some in ((a,), (b,), (a, b))]
        fell = float((right - tables[a, b]["correct"].to_numpy(float)[rows]).mean())
        table_rows.append((function, str(a), str(b), *drops, float(more.mean()), low, high, fell, int(np.sum(rows))))
    return pd.DataFrame(table_rows, columns=COLUMNS)
