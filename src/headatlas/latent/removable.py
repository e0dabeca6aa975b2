"""Which heads can be removed together without effect on a function.

A head that can be spared alone may be needed once others are gone, because they did the same work (redundancy). So heads are
removed one on top of the other, in blocks that are halved where a block matters, and each is then judged by what its removal
*adds* where the rest of the group is gone already. The loss of the whole group is no measure of one head: the small changes that
many idle heads make add up, and with them the uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas import stats
from headatlas.answers.metrics import scenes_of
from headatlas.heads import Head, HeadSet
from headatlas.intervention.effects import check_paired
from headatlas.latent.idle import LEVEL
from headatlas.scoring.base import function_index, labels_of

Losses = Callable[[HeadSet], pd.DataFrame]
"""The answers table of split S with some heads removed; of the unchanged model for the empty set."""


def removable_group(ordered: Sequence[Head], losses: Losses, function: str, delta: float) -> HeadSet:
    """The heads that can be removed together: each block of them changes the answers by less than `delta` where those before it
    are gone.

    Args:
        ordered: heads that can be removed alone, the least effective first.
        losses: of any set of heads.
        function: whose steps count.
        delta: limit of no effect, nats.
    """
    group: list[Head] = []

    def add(block: Sequence[Head]) -> None:
        if not block:
            return
        if added_loss(losses, block, group, function, delta)[1] < LEVEL:
            group.extend(block)
        elif len(block) > 1:
            add(block[: len(block) // 2])
            add(block[len(block) // 2 :])

    add(list(ordered))
    return HeadSet(group)


def added_loss(
    losses: Losses, heads: Sequence[Head], gone: Sequence[Head] | HeadSet, function: str, delta: float
) -> tuple[float, float]:
    """What the function's steps lose when `heads` are removed besides `gone` (mean, nats; a head in both counts as not yet gone),
    and the p of the equivalence test that this lies within +-`delta`."""
    rest = HeadSet(head for head in gone if head not in heads)
    values, scenes = lost(losses(rest), losses(HeadSet([*rest, *heads])), function)
    return float(values.mean()), stats.tost(values, scenes, delta)


def lost(before: pd.DataFrame, after: pd.DataFrame, function: str) -> tuple[Float[np.ndarray, " N"], np.ndarray]:
    """What each of the function's steps loses between two answers tables (nats), and its scene."""
    check_paired(before, after)
    rows = labels_of(before)[:, function_index(function)]
    values = (before["logprob"] - after["logprob"]).to_numpy(float)[rows]
    return values, scenes_of(before)[rows]
