"""The scorer `backup`: what a function's steps lose beyond the other steps of the scene when a head is ablated, alone or while
other heads are missing.

A head whose work others can do is not missed when it alone is ablated ("backup heads" take over). It is missed when they are
missing too. If everything else is ablated with them, the model breaks, and nothing can be measured. So:

1. Every head is ablated alone, as in the scorer `specificity`.
2. Heads without which no function loses `HARMLESS` nats are *harmless*. Halves of the harmless heads are ablated, every head in
   as many as not (`scoring.redundancy.halves_of`); all other heads stay intact. A ridge regression of each step's loss on the
   halves gives the head's share: what it costs on average while half of the harmless heads are missing.
3. Alone and share are each compared with the loss of the scene's other steps. The score is the larger of the two. Its p is that
   of the larger of the two standardised means, when the signs of a scene's differences are flipped for both together.

What three or more heads cost together can be counted as the share of another head. Columns of the halves that belong to no head
show how large this error is; a share counts only beyond three times it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.errors import HeadAtlasError
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import check_paired
from headatlas.intervention.operations import Means, ablate, mean_z
from headatlas.intervention.runner import Runner
from headatlas.scoring.ablation import SingleHeadDamage, p_in_null, sign_flips, single_head_damage, standardised
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, check_contrast, labels_of, scorer
from headatlas.scoring.damage_readings import CLIP, head_set
from headatlas.scoring.redundancy import halves_of, weighted_ridge
from headatlas.scoring.specificity import LEAST, contrast, differences

HARMLESS = 0.1
"""Nats: a head without which every function loses less than this on average is harmless."""
HALVES = 128
RIDGE = 1.0
ERRORS = 3.0
"""A share counts beyond so many times the error of the design."""


@scorer(
    "backup",
    title="backup-aware ablation",
    label="Backup-aware ablation (A7)",
    description="How much more a function's steps lose than the other steps of the scene when a head is ablated, alone or while "
    "half of the heads that can be spared are missing.",
    unit="nats",
    least=LEAST,
    twin=False,
)
def backup(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    means: Means | None = None,
    questions: int | None = None,
    halves: int = HALVES,
    scope: str = "all",
    batch_size: int = 32,
    runner: Runner | None = None,
) -> Scores:
    """Score every head by what a function's steps lose beyond other steps when it is ablated, alone or as a backup.

    Args:
        inputs: with `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation, means, scope, batch_size, runner: as in the scorer `ablation`.
        questions: of the split, the first so many are read; None: all.
        halves: of the harmless heads, at most.

    Returns:
        Scores in nats, with p-values and per-step scores. Arrays: `alone`, the damage alone beyond other steps', and `share`,
        the same while half of the harmless heads are missing, `[F, L, H]`, NaN for heads that are not harmless.
        `info["harmless"]`: the number of harmless heads; `info["halves"]`; `info["error"]`: of each function, what columns that
        belong to no head have as a share (root mean square), nats.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing, another tower than the language model, or too few halves or questions.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'backup' runs the model; pass vlm= and data= to score()")
    inputs.only_language("backup")
    check_contrast(inputs, "backup", within_scene=True)
    if halves < 24 or (questions is not None and questions < 2):
        raise HeadAtlasError(f"halves must be 24 or more and questions 2 or more, got {halves} and {questions}")
    started = time.perf_counter()
    if operation == "mean" and means is None:
        means = mean_z(inputs.activations, inputs.fit)
    run = runner or Runner(inputs.vlm, inputs.data, None, batch_size=batch_size)
    split = inputs.on if questions is None else f"{inputs.on}[:{questions}]"
    shape = inputs.vlm.heads.shape
    single = _first(single_head_damage(run, shape, operation, means, inputs.on, scope, inputs.report), questions)
    labels = labels_of(single.steps)
    there = [rows for rows in labels.T if rows.any()]
    harmless = np.max([single.logprob[rows].mean(0) for rows in there], axis=0) < HARMLESS
    alone = contrast(single, inputs.n_null, inputs.seed, least=LEAST)
    info: dict[str, Any] = {
        "unit": "nats", "operation": operation, "scope": scope, "questions": single.steps["question"].nunique(),
        "harmless": int(harmless.sum()),
        "halves": 0, "error": [0.0] * len(inputs.functions),
    }  # fmt: skip
    if harmless.sum() < 2:  # nobody could stand in for anybody
        arrays = {"alone": alone.values, "share": np.full_like(alone.values, np.nan)}
        return replace(alone, name="backup", info=alone.info | info, arrays=arrays)
    gone, idle = halves_of(int(harmless.sum()), halves, np.random.default_rng([inputs.seed, 7]))
    masks = np.zeros((len(gone), *shape), bool)
    masks[:, harmless] = gone
    lost = _losses(run, single.steps, masks, operation, means, split, scope, inputs)
    shares = weighted_ridge(np.concatenate([gone, idle], 1), lost, np.ones_like(lost), RIDGE).T.astype(np.float32)
    own = np.zeros_like(single.logprob)
    own[:, harmless] = shares[:, : gone.shape[1]]
    nobody = shares[:, None, gone.shape[1] :]
    error = np.sqrt((contrast(_damage(single, nobody), 0, 0).values ** 2).mean((1, 2)))
    least = np.maximum(LEAST, ERRORS * error)
    missed = _damage(single, own)
    missing = contrast(missed, inputs.n_null, inputs.seed, least=least[:, None, None])
    info |= {"halves": len(gone), "error": [float(value) for value in error]}
    made = _larger(alone, missing, harmless)
    if alone.pvalues is not None:
        pvalues = alone.pvalues.copy()
        pvalues[:, harmless] = either_p(single, missed, least, harmless, alone.info["n_null"], inputs.seed)
        made = replace(made, pvalues=pvalues)
    info["seconds"] = time.perf_counter() - started
    return replace(made, info=made.info | info)


def _first(single: SingleHeadDamage, questions: int | None) -> SingleHeadDamage:
    """The damage to the steps of the first so many questions. (It is read of all, because other scorers need them all.)"""
    if questions is None:
        return single
    names = single.steps["question"]
    rows = names.isin(names.unique()[:questions]).to_numpy()
    steps = single.steps[rows].reset_index(drop=True)
    return SingleHeadDamage(steps, single.logprob[rows], single.correct[rows], single.seconds)


def _losses(
    run: Runner,
    before: pd.DataFrame,
    masks: Bool[np.ndarray, "R L H"],
    operation: str,
    means: Means | None,
    split: str,
    scope: str,
    inputs: ScoringInputs,
) -> Float[np.ndarray, "R N"]:
    """What every step of the unedited model's table `before` loses under each set of heads, nats.

    Log-probabilities are clipped, so that very wrong answers do not dominate.
    """
    sets = [head_set(mask.ravel(), masks.shape[-1]) for mask in masks]
    conditions = [
        Condition(f"{operation} {heads}", (ablate(heads, operation, means),) if heads else (), scope) for heads in sets
    ]

    def report(_: str, done: int, total: int) -> None:
        inputs.report("ablating halves of the heads", done, total)

    after = []
    for table in run.run_many(conditions, split, report):
        check_paired(before, table)
        after.append(np.maximum(table["logprob"].to_numpy(float), CLIP))
    return np.maximum(before["logprob"].to_numpy(float), CLIP)[None] - np.stack(after)


def _damage(single: SingleHeadDamage, losses: Float[np.ndarray, "N L H"]) -> SingleHeadDamage:
    values = losses.astype(np.float32)
    return SingleHeadDamage(single.steps, values, np.zeros_like(values))


def _larger(alone: Scores, missing: Scores, harmless: Bool[np.ndarray, "L H"]) -> Scores:
    """The larger of both scores, with what belongs to it; `missing` counts for harmless heads only."""
    assert alone.per_sample is not None
    assert missing.per_sample is not None
    taken = (missing.values > alone.values) & harmless
    function = alone.per_sample.function
    samples = PerSample(
        np.where(taken[function], missing.per_sample.values, alone.per_sample.values),
        function,
        alone.per_sample.cluster,
    )
    null = alone.null
    if null is not None and missing.null is not None:  # of the same flips
        null = np.where(harmless, np.maximum(null, missing.null), null)
    arrays = {"alone": alone.values, "share": np.where(harmless, missing.values, np.nan)}
    return Scores("backup", np.where(taken, missing.values, alone.values), null, None, alone.info, arrays, samples)


def either_p(
    single: SingleHeadDamage,
    missed: SingleHeadDamage,
    least: Float[np.ndarray, " F"],
    harmless: Bool[np.ndarray, "L H"],
    n_null: int,
    seed: int,
) -> Float[np.ndarray, "F h"]:
    """p of the larger of both standardised means, of every harmless head, in the pooled null of all harmless heads.

    The signs of a scene's differences are flipped together for both measures and all heads, so that what they have in common
    costs nothing.
    """
    p = np.ones((len(least), int(harmless.sum())))
    rng = np.random.default_rng([seed, 8])
    for alone, missing in zip(differences(single), differences(missed), strict=True):
        c = alone.function
        sums, sizes = alone.by_scene(LEAST)
        both = np.stack([sums[:, harmless], missing.by_scene(float(least[c]))[0][:, harmless]], 1)
        observed, drawn = standardised(both, sizes, sign_flips(both, sizes, n_null, rng))
        p[c] = p_in_null(observed.max(0), drawn.max(1))
    return p
