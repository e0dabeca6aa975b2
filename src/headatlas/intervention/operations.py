"""The ways of taking heads away, by name, and the means they need.

Knows activations and edits; runs no model. A new operation is one more function (heads, means) -> Edit in the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int

from headatlas.errors import HeadAtlasError
from headatlas.heads import Edit, HeadSet, mean, scale, zero


@runtime_checkable
class ZStore(Protocol):
    """What is needed here of `headatlas.activations.Activations`."""

    @property
    def steps(self) -> pd.DataFrame:
        """The answers table, one row a step, in the order of z's first axis."""
        ...

    @property
    def tokens(self) -> Any:
        """Names of the token selections that were kept."""
        ...

    def z(self, tokens: str, rows: Any = None) -> Any:
        """Mean z over the selected tokens, float32 [N, L, H, D], of all rows or of the rows given."""
        ...


Means = Float32[np.ndarray, "L H D"]

PAPER_FACTOR = 0.001
"""What the paper scales functional heads by (arXiv 2603.20662)."""

CHUNK = 256
"""Steps of z that are in memory at a time."""

_OPERATIONS: dict[str, Callable[[HeadSet, Any], Edit]] = {
    "scale": lambda heads, means: scale(heads, PAPER_FACTOR),
    "zero": lambda heads, means: zero(heads),
    "mean": lambda heads, means: mean(heads, torch.from_numpy(_needed(means))),
}
OPERATIONS = tuple(_OPERATIONS)
"""Names of the ways of taking heads away."""


def ablate(heads: HeadSet, operation: str = "mean", means: Means | None = None) -> Edit:
    """The edit that takes `heads` away: `scale` by 0.001, `zero`, or `mean` (z replaced by `means`, which it needs).

    Raises:
        HeadAtlasError: Unknown operation, or `mean` without means.
    """
    if operation not in _OPERATIONS:
        raise HeadAtlasError(f"unknown operation {operation!r}: expected one of {', '.join(_OPERATIONS)}")
    return _OPERATIONS[operation](heads, means)


def mean_z(acts: ZStore, split: str = "P", tokens: str | None = None) -> Means:
    """Mean z of every head over the steps of `split`, float32 [L, H, D].

    Args:
        acts: Captured activations.
        split: Split the mean is taken over; never the one that is evaluated.
        tokens: Token selection; None takes `all` where it was captured (an ablation acts at all positions, so that is
            the mean to put there) and else the first selection.

    Raises:
        HeadAtlasError: The split was not captured.
    """
    rows = split_rows(acts, split)
    total = sum(z.sum(axis=0, dtype=np.float64) for z in _chunks(acts, tokens or mean_tokens(acts), rows))
    return np.asarray(total / len(rows), dtype=np.float32)


def mean_norm(acts: ZStore, split: str = "P", tokens: str | None = None) -> Float32[np.ndarray, "L H"]:
    """Mean Euclidean norm of z of every head over the steps of `split`; arguments and errors as `mean_z`."""
    rows = split_rows(acts, split)
    chunks = _chunks(acts, tokens or mean_tokens(acts), rows)
    total = sum(np.linalg.norm(z, axis=-1).sum(axis=0, dtype=np.float64) for z in chunks)
    return np.asarray(total / len(rows), dtype=np.float32)


def mean_tokens(acts: ZStore) -> str:
    """The token selection that means are taken over."""
    kept = tuple(acts.tokens)
    return "all" if "all" in kept else kept[0]


def split_rows(acts: ZStore, split: str) -> Int[np.ndarray, " N"]:
    """Row numbers of a split, ascending; HeadAtlasError when it was not captured."""
    splits = acts.steps["split"].to_numpy()
    rows = np.flatnonzero(splits == split)
    if not len(rows):
        raise HeadAtlasError(f"activations hold no step of split {split!r}: capture that split first")
    return rows


def _chunks(acts: ZStore, tokens: str, rows: Int[np.ndarray, " N"]) -> Iterator[Float32[np.ndarray, "n L H D"]]:
    for start in range(0, len(rows), CHUNK):
        yield np.asarray(acts.z(tokens, rows=rows[start : start + CHUNK]), dtype=np.float32)


def _needed(means: Means | None) -> Means:
    if means is None:
        raise HeadAtlasError("operation 'mean' needs means: pass means=mean_z(activations, split='P')")
    return means
