"""Permutations of labels, and p-values from them.

By default whole *label sequences* are exchanged between questions of one source with as many steps: the labels of a
question's first, second, ... step become those of the first, second, ... step of another question. Source and place of a step
stay as informative as they were, so a head that only encodes "this is the first step" is not selected.
Labels may instead be permuted step by step within columns such as source and answer type (the control task of Hewitt &
Liang 2019), which breaks that structure: then a label that the step's place alone explains looks like a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from headatlas.errors import HeadAtlasError
from headatlas.stats import null_p

STRATA = ("source", "answer_type")
"""Columns within which steps may be permuted one by one."""

Within: TypeAlias = "Literal['questions'] | Sequence[str]"
"""`"questions"`: label sequences are exchanged between questions with as many steps. Columns: steps are permuted one by one
within rows that share them."""

QUESTIONS: Literal["questions"] = "questions"

_ROUNDING = 1e-6  # share of the largest null score; smaller differences are rounding


def strata(steps: pd.DataFrame, within: Within = STRATA) -> Int[np.ndarray, " N"]:
    """The stratum number of each step. A step's label is drawn among the steps of its stratum.

    Raises:
        HeadAtlasError: a column that the steps do not have.
    """
    if within == QUESTIONS:
        return _kinds(steps).ngroup().to_numpy(dtype=np.int64)
    missing = [name for name in within if name not in steps]
    if missing:
        raise HeadAtlasError(
            f"labels are permuted within columns of the steps ({', '.join(steps.columns)}), got {missing[0]!r}"
        )
    if not within:
        return np.zeros(len(steps), dtype=np.int64)
    return steps.groupby(list(within), sort=True, dropna=False).ngroup().to_numpy(dtype=np.int64)


def permutation(steps: pd.DataFrame, rng: np.random.Generator, within: Within = QUESTIONS) -> Int[np.ndarray, " N"]:
    """A random order of N rows in which every row is replaced by one of its own stratum.

    With `"questions"` the rows of a question are replaced by the rows of one other question, in their order.
    """
    order = np.empty(len(steps), dtype=np.int64)
    if within == QUESTIONS:
        number, sizes = _kind_of_question(steps)
        rows = np.argsort(number, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(number))])
        for kind in np.unique(sizes):
            members = np.flatnonzero(sizes == kind)
            for one, other in zip(members, rng.permutation(members), strict=True):
                order[rows[starts[one] : starts[one + 1]]] = rows[starts[other] : starts[other + 1]]
        return order
    stratum = strata(steps, within)
    for number in np.unique(stratum):
        rows = np.flatnonzero(stratum == number)
        order[rows] = rng.permutation(rows)
    return order


def permuted_labels(
    labels: Bool[np.ndarray, "N F"],
    steps: pd.DataFrame,
    n: int,
    rng: np.random.Generator,
    within: Within = QUESTIONS,
) -> Bool[np.ndarray, "R N F"]:
    """`labels` of `steps` permuted `n` times. A step's labels move together, so multi-label steps stay such."""
    if not n:
        return np.zeros((0, *labels.shape), dtype=bool)
    return np.stack([labels[permutation(steps, rng, within)] for _ in range(n)])


def movable(
    labels: Bool[np.ndarray, "N F"], steps: pd.DataFrame, within: Within = QUESTIONS
) -> Float[np.ndarray, " F"]:
    """Share (0..1) of each function's steps whose label a permutation can move; with 0 the null cannot test the function.

    Each step counts by the share of its stratum that lacks the function; a function that fills its strata alone has 0.
    """
    stratum = strata(steps, within)
    out = np.zeros(labels.shape[1])
    for number in np.unique(stratum):
        inside = labels[stratum == number]
        out += inside.sum(0) * (1 - inside.mean(0))
    return out / np.maximum(labels.sum(0), 1)


def _kind_of_question(steps: pd.DataFrame) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " Q"]]:
    """Each row's question as a number, and each question's kind: its source and number of steps."""
    number = pd.factorize(steps["question"])[0].astype(np.int64)
    source = steps["source"] if "source" in steps else pd.Series("", index=steps.index)
    per_question = pd.DataFrame({"number": number, "source": source.to_numpy()}).groupby("number")["source"]
    kinds = pd.DataFrame({"source": per_question.first(), "steps": per_question.size()})
    return number, kinds.groupby(["source", "steps"], sort=True, dropna=False).ngroup().to_numpy(dtype=np.int64)


def _kinds(steps: pd.DataFrame) -> pd.core.groupby.DataFrameGroupBy:
    """Steps grouped by the kind of their question and their place in it."""
    number, kinds = _kind_of_question(steps)
    place = steps.groupby(number).cumcount().to_numpy()
    return pd.DataFrame({"kind": kinds[number], "place": place}).groupby(["kind", "place"], sort=True)


def pooled_p(
    values: Float[np.ndarray, "F L H"], null: Float[np.ndarray, "R F L H"], over: str = "heads"
) -> Float[np.ndarray, "F L H"]:
    """One-sided p of each head against its own null, in (0, 1].

    A head's score is centred and scaled by the mean and the standard deviation of its own R null scores, and each of those
    by the mean and deviation of the R - 1 others, so that heads whose scores vary more need a higher score. The scaled
    nulls are pooled: p = (1 + #{null >= score}) / (n + 1), with n = R L H scores of the same function (`over="heads"`) or
    n = F R L H of all functions (`over="all"`, for scorers whose refits are expensive: the smallest p must reach
    0.05 / (F L H) for a lone head to be selected). With fewer than 3 repeats there is no deviation to scale by, and the
    scores are pooled as they are. A head whose null has no spread has p = 1.
    """
    if over not in ("heads", "all"):
        raise HeadAtlasError(f"over must be 'heads' or 'all', got {over!r}")
    repeats, functions = null.shape[:2]
    if not repeats:
        raise HeadAtlasError("n_null must be >= 1 for p-values, got 0")
    # A head whose scores no permutation changes, except by rounding, cannot be tested.
    moved = np.ptp(null, axis=0) > _ROUNDING * np.abs(null).max(0)  # [F, L, H]
    scores, pool = _standardised(values.astype(np.float64), null.astype(np.float64))
    every = pool[:, moved].ravel()
    p = np.ones(values.shape)
    for c in range(functions):
        if moved[c].any():
            p[c][moved[c]] = null_p(scores[c][moved[c]], every if over == "all" else pool[:, c][:, moved[c]].ravel())
    return p


def _standardised(
    values: Float[np.ndarray, "F L H"], null: Float[np.ndarray, "R F L H"]
) -> tuple[Float[np.ndarray, "F L H"], Float[np.ndarray, "R F L H"]]:
    """Scores and null in deviations of each head's null; each null score is left out of its own mean and deviation."""
    repeats = len(null)
    if repeats < 3:
        # With too few repeats for each head's own deviation, that of all heads of the function is used.
        centre = null.mean((0, 2, 3))[:, None, None]
        spread = _floor(null.std((0, 2, 3)))[:, None, None]
        return (values - centre) / spread, (null - centre) / spread
    total, squares = null.sum(0), (null**2).sum(0)
    rest = repeats - 1
    mean = (total - null) / rest
    variance = np.clip(((squares - null**2) - rest * mean**2) / (rest - 1), 0, None)
    own_variance = null.var(0, ddof=1)
    # Heads whose null scores happen to be almost equal must not be divided by almost 0.
    least = 0.1 * np.sqrt(own_variance.mean((1, 2)))[:, None, None]
    scaled = (null - mean) / _floor(np.maximum(np.sqrt(variance), least))
    return (values - null.mean(0)) / _floor(np.maximum(np.sqrt(own_variance), least)), scaled


def _floor(spread: np.ndarray) -> np.ndarray:
    return np.where(spread > 0, spread, 1.0)
