"""Operations (ways to remove heads, by name), and mean z, which the operation `mean` needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int

from headatlas.activations.store import ActivationsLike
from headatlas.errors import HeadAtlasError
from headatlas.heads import Edit, HeadSet, mean, scale, zero
from headatlas.heads.address import Heads, as_heads
from headatlas.registry import Registry

Means = Float32[np.ndarray, "L H D"]

Operation = Callable[[HeadSet, Means | None], Edit]
"""Makes the edit that removes heads, given their mean z if it is known."""

PAPER_FACTOR = 0.001
"""The factor by which the paper scales functional heads (arXiv 2603.20662)."""

CHUNK = 256
"""Number of steps whose z is in memory at the same time."""

OPERATIONS: Registry[Operation] = Registry("operation")
"""Ways of removing heads, by name: `scale`, `zero`, `mean`; `OPERATIONS.register(name)` adds another."""

OPERATIONS.add("scale", lambda heads, means: scale(heads, PAPER_FACTOR))
OPERATIONS.add("zero", lambda heads, means: zero(heads))
OPERATIONS.add("mean", lambda heads, means: mean(heads, torch.from_numpy(_needed(means))))


def ablate(heads: Heads, operation: str = "mean", means: Means | None = None) -> Edit:
    """The edit that removes `heads`: `scale` by 0.001, `zero`, or `mean` (z replaced by `means`, which it needs).

    Raises:
        HeadAtlasError: unknown operation, or `mean` without means.
    """
    return OPERATIONS[operation](as_heads(heads), means)


def mean_z(acts: ActivationsLike, split: str = "P", tokens: str | None = None) -> Means:
    """Mean z of every head over the steps of `split`, float32 [L, H, D].

    Args:
        acts: captured activations.
        split: split over which the mean is taken; never the one that is evaluated.
        tokens: token selection; None: `all` if it was captured, because an ablation acts at all positions, or else the first
            selection.

    Raises:
        HeadAtlasError: the split was not captured.
    """
    rows = split_rows(acts, split)
    total = sum(z.sum(axis=0, dtype=np.float64) for z in _chunks(acts, tokens or mean_tokens(acts), rows))
    return np.asarray(total / len(rows), dtype=np.float32)


def mean_tokens(acts: ActivationsLike) -> str:
    """The token selection over which means are taken."""
    captured = tuple(acts.tokens)
    return "all" if "all" in captured else captured[0]


def split_rows(acts: ActivationsLike, split: str) -> Int[np.ndarray, " N"]:
    """Row numbers of a split, ascending; `HeadAtlasError` if it was not captured."""
    splits = acts.steps["split"].to_numpy()
    rows = np.flatnonzero(splits == split)
    if not len(rows):
        raise HeadAtlasError(f"the activations have no step of split {split!r}: capture that split first")
    return rows


def _chunks(
    acts: ActivationsLike, tokens: str, rows: Int[np.ndarray, " N"]
) -> Iterator[Float32[np.ndarray, "n L H D"]]:
    for start in range(0, len(rows), CHUNK):
        yield np.asarray(acts.z(tokens, rows=rows[start : start + CHUNK]), dtype=np.float32)


def _needed(means: Means | None) -> Means:
    if means is None:
        raise HeadAtlasError("operation 'mean' needs means: pass means=mean_z(activations, split='P')")
    return means
