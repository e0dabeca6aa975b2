"""Permutations of labels, and p-values from them.

Labels are permuted *within source and answer type* (the control task of Hewitt & Liang 2019): the permuted labels keep
what the source and the form of the answer give away, so that a head which only encodes "the answer is a number" is not
selected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from headatlas.errors import HeadAtlasError
from headatlas.stats import null_p

STRATA = ("source", "answer_type")


def strata(steps: pd.DataFrame, within: Sequence[str] = STRATA) -> Int[np.ndarray, " N"]:
    """Number of the stratum of each step: steps that share all columns of `within`. Raises for a missing column."""
    missing = [name for name in within if name not in steps]
    if missing:
        raise HeadAtlasError(
            f"labels are permuted within columns of the steps ({', '.join(steps.columns)}), got {missing[0]!r}"
        )
    if not within:
        return np.zeros(len(steps), dtype=np.int64)
    return steps.groupby(list(within), sort=True, dropna=False).ngroup().to_numpy(dtype=np.int64)


def permutation(stratum: Int[np.ndarray, " N"], rng: np.random.Generator) -> Int[np.ndarray, " N"]:
    """A random order of N rows in which every row is replaced by one of its own stratum."""
    order = np.empty(len(stratum), dtype=np.int64)
    for number in np.unique(stratum):
        rows = np.flatnonzero(stratum == number)
        order[rows] = rng.permutation(rows)
    return order


def permuted_labels(
    labels: Bool[np.ndarray, "N F"], stratum: Int[np.ndarray, " N"], n: int, rng: np.random.Generator
) -> Bool[np.ndarray, "R N F"]:
    """`labels` permuted `n` times within strata. A step's labels move together, so multi-label steps stay such."""
    if not n:
        return np.zeros((0, *labels.shape), dtype=bool)
    return np.stack([labels[permutation(stratum, rng)] for _ in range(n)])


def movable(labels: Bool[np.ndarray, "N F"], stratum: Int[np.ndarray, " N"]) -> Float[np.ndarray, " F"]:
    """Share (0..1) of each function's steps whose label a permutation can move; with 0 the null cannot test the function.

    Each step counts by the share of its stratum that lacks the function; a function that fills its strata alone has 0.
    """
    out = np.zeros(labels.shape[1])
    for number in np.unique(stratum):
        inside = labels[stratum == number]
        out += inside.sum(0) * (1 - inside.mean(0))
    return out / np.maximum(labels.sum(0), 1)


def pooled_p(
    values: Float[np.ndarray, "F L H"], null: Float[np.ndarray, "R F L H"], over: str = "heads"
) -> Float[np.ndarray, "F L H"]:
    """One-sided p = (1 + #{null >= score}) / (n + 1), the null pooled over heads, in (0, 1].

    `over="heads"`: n = R L H null scores of the same function. `over="all"`: also over functions, after dividing each
    function's scores by the spread of its null: for scorers whose refits are expensive, since the smallest p must reach
    0.05 / (F L H) for a lone head to be selected.
    """
    if over not in ("heads", "all"):
        raise HeadAtlasError(f"over must be 'heads' or 'all', got {over!r}")
    repeats, functions = null.shape[:2]
    if not repeats:
        raise HeadAtlasError("n_null must be >= 1 for p-values, got 0")
    pool = null.transpose(1, 0, 2, 3).reshape(functions, -1).astype(np.float64)
    scores = values.reshape(functions, -1).astype(np.float64)
    if over == "all":
        centre = pool.mean(1, keepdims=True)
        spread = pool.std(1, keepdims=True)
        known = spread[:, 0] > 0
        # A null without spread (an absent function) is kept out of the pool and has p = 1.
        scaled = (scores - centre) / np.where(spread > 0, spread, 1)
        joint = ((pool - centre) / np.where(spread > 0, spread, 1))[known]
        p = null_p(scaled, joint) if known.any() else np.ones_like(scaled)
        p[~known] = 1.0
    else:
        p = np.stack([null_p(score, row) for row, score in zip(pool, scores, strict=True)])
    return p.reshape(values.shape)
