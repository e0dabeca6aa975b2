"""Directions from wrong answers to right ones, for every head, and controls of equal norm.

    u[l,h] = unit( mean over question kinds of ( mean z of correct steps - mean z of incorrect steps ) )
    sigma[l,h] = standard deviation of z . u

as in the paper's positive intervention (arXiv 2603.20662), but within kinds of questions, so that the direction does not merely
separate easy kinds from hard ones, and from split P only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32

from headatlas.activations.store import ActivationsLike
from headatlas.cogvsr.functions import check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Edit, steer
from headatlas.heads.address import Heads
from headatlas.intervention.operations import split_rows
from headatlas.printing import brief

MIN_EACH = 10
"""A direction needs at least so many correct and so many incorrect steps."""


@dataclass(frozen=True)
class Directions:
    """A unit direction and a scale for every head; all zero, and not `usable`, if there is a `reason`.

    Attributes:
        u: unit vectors.
        sigma: standard deviation of z . u over the split's steps of the function.
        n_correct: correct steps used (in kinds that also have incorrect ones).
        n_incorrect: incorrect steps used.
        reason: why there is no direction; empty if there is one.
        name: `steer`, or the name of the control.
    """

    u: Float32[np.ndarray, "L H D"]
    sigma: Float32[np.ndarray, "L H"]
    n_correct: int
    n_incorrect: int
    reason: str = ""
    name: str = "steer"

    __repr__ = brief

    @property
    def usable(self) -> bool:
        """Whether there is a direction."""
        return not self.reason

    def edit(self, heads: Heads, alpha: float) -> Edit:
        """The edit z + alpha * sigma * u in `heads`.

        Raises:
            HeadAtlasError: there is no direction.
        """
        if not self.usable:
            raise HeadAtlasError(f"no direction to steer along: {self.reason}")
        return steer(heads, torch.from_numpy(self.u), alpha, torch.from_numpy(self.sigma))

    def flipped(self) -> Directions:
        """The same directions with opposite sign: from right to wrong."""
        return replace(self, u=-self.u, name="flipped")

    def random(self, rng: np.random.Generator | int = 0) -> Directions:
        """Random unit vectors with the same sigma, so that steering along them has the same norm."""
        draw = np.random.default_rng(rng).standard_normal(self.u.shape).astype(np.float32)
        return replace(self, u=_unit(draw), name="random_direction")


def directions(
    acts: ActivationsLike,
    function: str | None = None,
    tokens: str | None = None,
    split: str = "P",
    within: str = "kind",
    correct: Bool[np.ndarray, " N"] | None = None,
    shuffle: np.random.Generator | int | None = None,
    min_each: int = MIN_EACH,
) -> Directions:
    """Estimate directions from the steps of `split`.

    Args:
        acts: captured activations with their answers table.
        function: only steps whose primary function it is; None takes all.
        tokens: token selection of `acts`; its first if None.
        split: split on which directions are estimated; never the one on which they are evaluated.
        within: column of the answers table (`kind`, `answer_type`); right and wrong steps are compared within its levels.
        correct: which of all steps of `acts` (every split, in their order) were right, instead of
            `acts.steps["correct"]`: for example from generated answers, if the teacher-forced ones are nearly all right.
        shuffle: generator or seed to permute right and wrong within levels first: the label-shuffled control.
        min_each: smallest number of right and of wrong steps.

    Returns:
        Directions; empty, with a reason, if there are too few right or wrong steps.

    Raises:
        HeadAtlasError: the split has no step, or `within` is not a column.
    """
    steps = acts.steps
    if within not in steps.columns:
        raise HeadAtlasError(f"within must be one of {', '.join(map(str, steps.columns))}; got {within!r}")
    rows = split_rows(acts, split)
    if function is not None:
        rows = rows[(steps["function"] == check_function(function)).to_numpy(bool)[rows]]
    right = steps["correct"].to_numpy(bool) if correct is None else correct
    right, level = right[rows], steps[within].astype(str).to_numpy()[rows]
    if shuffle is not None:
        right = _shuffled(right, level, np.random.default_rng(shuffle))
    weights = _contrast(right, level)
    used = weights != 0
    n_correct, n_incorrect = int((used & right).sum()), int((used & ~right).sum())
    name = "steer" if shuffle is None else "shuffled"
    selection = tokens or next(iter(acts.tokens))
    if min(n_correct, n_incorrect) < min_each:
        where = f"split {split}" + (f" for {function.replace('_', ' ')}" if function else "")
        reason = (
            f"{n_correct} right and {n_incorrect} wrong answers to steps of the same {within} could be compared on "
            f"{where}; at least {min_each} of each are needed"
        )
        empty = np.zeros_like(np.asarray(acts.z(selection, rows=np.array([0])), dtype=np.float32)[0])
        return Directions(empty, empty[..., 0], n_correct, n_incorrect, reason, name)
    z = np.asarray(acts.z(selection, rows=rows), dtype=np.float32)
    u = _unit(np.tensordot(weights.astype(np.float32), z, axes=1))
    sigma = np.einsum("nlhd,lhd->nlh", z, u).std(axis=0).astype(np.float32)
    return Directions(u, sigma, n_correct, n_incorrect, "", name)


def _contrast(right: Bool[np.ndarray, " N"], level: np.ndarray) -> Float[np.ndarray, " N"]:
    """Weights with which the sum of z is the mean over levels of (mean right - mean wrong), weighted by precision."""
    weights = np.zeros(len(right))
    total = 0.0
    for _, where in pd.Series(np.arange(len(right))).groupby(level):
        index = where.to_numpy()
        yes, no = index[right[index]], index[~right[index]]
        if len(yes) and len(no):
            # Proportional to the inverse of the variance of the difference of the two means.
            size = len(yes) * len(no) / (len(yes) + len(no))
            weights[yes], weights[no] = size / len(yes), -size / len(no)
            total += size
    return weights / total if total else weights


def _shuffled(right: Bool[np.ndarray, " N"], level: np.ndarray, rng: np.random.Generator) -> Bool[np.ndarray, " N"]:
    out = right.copy()
    for name in np.unique(level):
        out[level == name] = rng.permutation(right[level == name])
    return out


def _unit(vectors: Float32[np.ndarray, "L H D"]) -> Float32[np.ndarray, "L H D"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
