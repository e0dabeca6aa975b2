"""A positive control of activation methods: do they activate heads of this model that are known to be latent?

That a method gains nothing can mean that the model has no latent heads, or that the method does not work on it. To tell
these apart, heads that the spatial functions need are made latent: the columns of the output projection that belong to them
are multiplied by a small factor. What they compute is unchanged, and a gain of 1 / factor restores the model exactly, so a
solution is known to exist. The methods are then fitted and judged on the changed model as on the original.

Heads are ranked by scores of split S, and their number is chosen on split T; methods are judged on split E. Afterwards the
model's weights are as before, bit by bit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas import stats
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, scale
from headatlas.intervention.effects import check_paired, spatial
from headatlas.latent.judging import judge
from headatlas.latent.method_tables import score_change
from headatlas.latent.methods.base import METHODS, MethodInputs
from headatlas.latent.tuning import spatial_score
from headatlas.printing import brief
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores
from headatlas.vlm import evaluate
from headatlas.vlm.surgery import scaled_output

log = logging.getLogger("headatlas")

FACTOR = 1 / 16
"""What the output of the chosen heads is multiplied by."""

SIZES = (2, 4, 8, 12)
"""Numbers of heads that are tried on split T, for each ranking."""

LEAST_LOSS = 0.05
"""The smallest loss of spatial score (0..1) on split T by which a set is taken."""

SHARE = 0.25
"""Largest share of all heads."""


@dataclass(frozen=True)
class FaintHeads:
    """The heads that are made latent.

    Attributes:
        heads: the heads; none if no set was found.
        tried: for each set (scorer and number of heads; ("", 0) for none) the spatial score and the accuracy on other steps
            of split T, 0..1.
        reason: why there is none; "" if there are some.
    """

    heads: HeadSet
    tried: dict[tuple[str, int], tuple[float, float]]
    reason: str = ""

    __repr__ = brief


def choose_faint(
    inputs: MethodInputs, scores: Mapping[str, Scores], factor: float = FACTOR, sizes: Sequence[int] = SIZES
) -> FaintHeads:
    """Choose the set of heads that, made latent, cost spatial answers most, and other answers at most half as much.

    If no set is as specific as that, it is the set that costs spatial answers most beyond what it costs others.

    Heads are ranked by each scorer, by their scores for the spatial functions less those for the others. More than one
    ranking is tried because heads that stand in for each other have no effect one by one.

    Args:
        inputs: model and data; split T is used.
        scores: of split S, by scorer.
        factor: above 0, up to 0.5.
        sizes: numbers of heads tried.

    Raises:
        HeadAtlasError: a factor out of range.
    """
    _check_factor(factor)
    orders = {name: order for name, one in scores.items() if (order := _ranked(one))}
    questions, n_heads = inputs.questions("T"), len(inputs.vlm.heads.heads("L"))
    answers = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
    tried = {("", 0): _scores(answers)}
    sets = [(name, size) for size in sizes if size <= SHARE * n_heads for name in orders]
    found: list[tuple[tuple[bool, float], HeadSet]] = []
    for done, (name, size) in enumerate(sets):
        heads = HeadSet(orders[name][:size])
        with inputs.vlm.edit(scale(heads, factor)):
            answers = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
        tried[name, size] = _scores(answers)
        inputs.report("heads to make latent", done + 1, len(sets))
        lost, lost_off_task = (before - after for before, after in zip(tried["", 0], tried[name, size], strict=True))
        other = max(0.0, float(np.nan_to_num(lost_off_task)))  # NaN without other steps
        if lost >= LEAST_LOSS and lost > other:
            specific = other <= lost / 2
            found.append(((specific, lost if specific else lost - other), heads))
    if found:
        return FaintHeads(max(found, key=lambda one: one[0])[1], tried)
    largest = max((size for _, size in sets), default=0)
    reason = (
        f"no set of up to {largest} heads, ranked by {', '.join(orders) or 'no scorer'}, costs "
        f"spatial answers {100 * LEAST_LOSS:.0f} points or more on split T, and others less"
    )
    return FaintHeads(HeadSet(()), tried, reason)


def positive_control(
    inputs: MethodInputs,
    names: Iterable[str],
    faint: HeadSet,
    intact: pd.DataFrame,
    factor: float = FACTOR,
    *,
    questions: Sequence[Question] | None = None,
    draws: int = 2,
    n_boot: int = 10_000,
) -> pd.DataFrame:
    """Judge methods on the model with faint heads.

    Args:
        inputs: as for `judge`, of the original model. Its activations are not passed on, since they are the original's;
            methods that need some are left out. Methods that act on chosen heads get those of `inputs.heads`, which must not
            have been chosen by what made heads faint.
        names: registered methods.
        faint: the heads that are made latent (`choose_faint`).
        intact: answers table of the original model on `questions` in gold context.
        factor: what their output is multiplied by.
        questions: questions of split E; by default all.
        draws, n_boot: see `judge`.

    Returns:
        Rows of results/positive_control.csv.

    Raises:
        HeadAtlasError: as `judge`, or no heads.
    """
    _check_factor(factor)
    if not faint:
        raise HeadAtlasError("faint must have at least one head, got none")
    within = MethodInputs(
        inputs.vlm, inputs.data, None, inputs.heads, inputs.seed, inputs.detector, n_fit=inputs.n_fit,
        batch_size=inputs.batch_size, fit_batch=inputs.fit_batch, progress=inputs.progress,
    )  # fmt: skip
    needs = {name: getattr(METHODS[name](), "needs", ()) for name in names}
    usable = [name for name, needed in needs.items() if "activations" not in needed]
    if len(usable) < len(needs):
        log.info(
            "positive control without %s: they need activations",
            ", ".join(name for name in needs if name not in usable),
        )
    with scaled_output(inputs.vlm, faint, factor):
        judged = judge(within, usable, questions=questions, draws=draws, own_context=False, n_boot=n_boot)
    before = judged.answers[""]
    lost = score_change(before, intact, n_boot=n_boot)
    rows = []
    for row in judged.tables["methods"].to_dict("records"):
        changed = HeadSet(getattr(judged.methods[row["method"]], "heads", ()))
        part = restored(intact, before, judged.answers[row["method"]], n_boot)
        if not lost.low > 0:  # a share of a loss that may be none
            part = stats.Estimate(np.nan, np.nan, np.nan, part.n)
        rows.append(
            {
                "method": row["method"], "heads": str(faint), "n_heads": len(faint), "factor": factor,
                "intact": row["before"] + 100 * lost.value, "before": row["before"], "after": row["after"],
                "lost": 100 * lost.value, "lost_low": 100 * lost.low, "lost_high": 100 * lost.high,
                "gain": row["gain"], "low": row["low"], "high": row["high"], "restored": part.value,
                "restored_low": part.low, "restored_high": part.high, "off_task_gain": row["off_task_gain"],
                "n_changed": len(changed), "n_found": sum(head in faint for head in changed), "helps": bool(row["helps"]),
                "reason": row["reason"], "n": row["n"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RESULTS["positive_control"].names))


def restored(intact: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, n_boot: int = 10_000) -> stats.Estimate:
    """The share of the lost spatial score that came back: (after - before) / (intact - before); NaN if nothing was lost.

    Tables are paired by step; scenes are resampled.
    """
    check_paired(before, after)
    check_paired(before, intact)
    on = spatial(before)
    function = before["function"].to_numpy()[on]
    counts = pd.Series(function).map(pd.Series(function).value_counts()).to_numpy(float)
    right = [table["correct"].to_numpy(float)[on] for table in (intact, before, after)]
    lost, won = (right[0] - right[1]) / counts, (right[2] - right[1]) / counts
    if lost.sum() <= 0:
        return stats.Estimate(float("nan"), float("nan"), float("nan"), int(on.sum()))
    return stats.bootstrap_groups(won, None, before["scene"].to_numpy()[on], denominators=lost, n=n_boot)


def _check_factor(factor: float) -> None:
    if not 0 < factor <= 0.5:
        raise HeadAtlasError(f"factor must be above 0 and at most 0.5, got {factor}")


def _ranked(scores: Scores) -> list[Head]:
    """All heads, those first that score higher for spatial functions than for others; none without scores of a spatial one."""
    known = [function for function in FUNCTIONS if function not in scores.info.get("absent", ())]
    mine = [scores.of(function) for function in known if function in SPATIAL]
    others = [scores.of(function) for function in known if function not in SPATIAL]
    if not mine:
        return []
    worth: Float[np.ndarray, "L H"] = np.mean(mine, 0) - (np.mean(others, 0) if others else 0.0)
    order = np.argsort(-worth, axis=None, kind="stable")
    return [Head(int(layer), int(head)) for layer, head in zip(*np.unravel_index(order, worth.shape), strict=True)]


def _scores(answers: pd.DataFrame) -> tuple[float, float]:
    """Spatial score and accuracy on other steps, 0..1."""
    other = ~spatial(answers)
    return spatial_score(answers), float(answers["correct"].to_numpy(float)[other].mean()) if other.any() else np.nan
