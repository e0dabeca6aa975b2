"""Greedy minimal sets: few heads whose removal does most of the damage of removing a whole set.

Forward: the head whose removal costs a function's steps most is added, until the wanted share of the damage is reached. Backward:
heads that are not needed for that share are dropped, the least needed first. No single head of the result can be left out, but a
smaller set may exist. Heads are chosen on one split (S or T), so their effect must be reported on another (E). A round has one
condition for each candidate; all share the bare model's passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import of_function
from headatlas.intervention.operations import Means, ablate
from headatlas.intervention.runner import Runner
from headatlas.printing import brief
from headatlas.progress import Progress

COLUMNS = ["function", "round", "move", "head", "k", "drop", "share", "accuracy", "n"]


@dataclass(frozen=True, eq=False)
class Minimal:
    """A greedy minimal set and the moves that led to it.

    Attributes:
        heads: in the order in which they were added; empty, with a reason, if removing all candidates costs nothing.
        share: their drop as a share of the drop of all candidates.
        path: one row per move (`add`, `put back`): heads k after it, mean drop (nats), share of the whole set's drop, accuracy.
    """

    heads: HeadSet
    share: float
    path: pd.DataFrame

    __repr__ = brief


def greedy_set(
    runner: Runner,
    candidates: Heads,
    function: str,
    share: float = 0.8,
    operation: str = "mean",
    means: Means | None = None,
    split: str = "S",
    scope: str = "all",
    most: int | None = None,
    progress: Progress | None = None,
) -> Minimal:
    """A minimal set of `candidates` that does at least `share` of their damage to the steps of `function`.

    Args:
        runner: evaluates conditions, cached; forced mode.
        candidates: heads to choose from, such as a function's selected heads.
        function: the primary function of the steps that are measured.
        share: share of the mean drop in gold log-probability without all candidates that the set must reach, in (0, 1].
        operation, means, scope: as in `negative`.
        split: split to choose on; never E.
        most: largest number of heads; None: as many as are needed.
        progress: called after each condition of a round.

    Raises:
        HeadAtlasError: split E, no candidates, a share outside (0, 1], or no steps.
    """
    candidates = as_heads(candidates)
    if split.startswith("E"):
        raise HeadAtlasError("heads must not be chosen on split E, on which they are evaluated: use 'S' or 'T'")
    if not candidates or not 0 < share <= 1:
        raise HeadAtlasError(
            f"candidates must not be empty and share must be in (0, 1], got {len(candidates)} and {share}"
        )
    trial = _Trial(runner, function, operation, means, split, scope, progress)
    whole = trial.drops([tuple(candidates)])[0][0]
    if whole <= 0:
        reason = f"removing all {len(candidates)} heads does not lower the steps of {function} ({whole:.3f} nats)"
        return Minimal(HeadSet((), reason=reason), 0.0, pd.DataFrame(columns=COLUMNS))
    chosen: list[Head] = []
    drop, moves = 0.0, []
    while drop < share * whole and len(chosen) < (most or len(candidates)):
        rest = [head for head in candidates if head not in chosen]
        trial_drops = trial.drops([(*chosen, head) for head in rest])
        best = int(np.argmax([one for one, _ in trial_drops]))
        chosen.append(rest[best])
        drop, accuracy = trial_drops[best]
        moves.append(("add", rest[best], len(chosen), drop, accuracy))
    while len(chosen) > 1 and drop >= share * whole:
        trial_drops = trial.drops([tuple(h for h in chosen if h != out) for out in chosen])
        best = int(np.argmax([one for one, _ in trial_drops]))
        if trial_drops[best][0] < share * whole:
            break
        out = chosen.pop(best)
        drop, accuracy = trial_drops[best]
        moves.append(("put back", out, len(chosen), drop, accuracy))
    path = pd.DataFrame(
        [
            (function, i, move, str(head), k, lost, lost / whole, accuracy, trial.n)
            for i, (move, head, k, lost, accuracy) in enumerate(moves, 1)
        ],
        columns=COLUMNS,
    )
    reason = f"{len(chosen)} of {len(candidates)} heads do {drop / whole:.0%} of their damage to {function}"
    return Minimal(HeadSet(chosen, reason=reason), drop / whole, path)


class _Trial:
    """Mean drop (nats) and accuracy of one function's steps under sets of heads."""

    def __init__(
        self,
        runner: Runner,
        function: str,
        operation: str,
        means: Means | None,
        split: str,
        scope: str,
        progress: Progress | None,
    ) -> None:
        self._runner, self._split, self._scope, self._progress = runner, split, scope, progress
        self._operation, self._means = operation, means
        self._before = runner.baseline(split)
        self._rows = of_function(self._before, function)
        self.n = int(self._rows.sum())
        if not self.n:
            raise HeadAtlasError(f"split {split!r} has no step of {function!r}")

    def drops(self, sets: list[tuple[Head, ...]]) -> list[tuple[float, float]]:
        conditions = [
            Condition(
                f"{self._operation} {len(some)} heads",
                (ablate(HeadSet(sorted(some)), self._operation, self._means),),
                self._scope,
            )
            for some in sets
        ]
        tables = self._runner.run_many(conditions, self._split, self._progress)
        lost = [(self._before["logprob"] - table["logprob"]).to_numpy(float)[self._rows].mean() for table in tables]
        right = [table["correct"].to_numpy(float)[self._rows].mean() for table in tables]
        return [(float(a), float(b)) for a, b in zip(lost, right, strict=True)]
