"""The scorer `multihead` (A6): the contribution of each head when many are ablated at once, and redundant groups of heads.

Heads are scored by the whole fall of the gold answer's log-probability. Groups are found by its fall *among valid answers*: the
log-probability minus the log of the mass on the first tokens of valid answers (`scoring.valid_answers`). A fall of that mass is
*format* damage: the model no longer gives an answer of this type. Measurements among valid answers are weighted by the mass.

1. Screen: random subsets of all heads (each head with probability 0.12, 0.25 or 0.5) are ablated at the positions that predict
   answers; ridge regressions give each head's share of the total damage to each function, and of the format damage.
2. Backbone: heads whose share for the *median* function, less its standard error, is 0.2 nats or more. Every step needs them,
   to read its words or to answer at all: removing them breaks the model, not one function. They stay intact from here on, and
   are not scored.
3. Halves: halves of the other heads are ablated. Half of a redundant group is gone then, so that each of its heads matters.
   Ridge regressions of the damage on the halves give each head's share. A head's score for a function is its share of the whole
   damage to the function's steps less its share for the median function.
4. Each head alone, and the groups of heads that stand in for each other (`scoring.redundancy`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from headatlas.answers.metrics import scenes_of
from headatlas.cluster import Workers
from headatlas.errors import HeadAtlasError
from headatlas.intervention.operations import Means, mean_tokens, mean_z
from headatlas.scoring.ablation import SingleHeadDamage, scores_of
from headatlas.scoring.base import Scores, ScoringInputs, labels_of, scorer
from headatlas.scoring.damage_readings import (
    SCREENS,
    DamageReadings,
    Readings,
    check_functions,
    head_number,
    screen,
)
from headatlas.scoring.redundancy import (
    MARGIN,
    groups_of,
    halves_of,
    stand_ins,
    subsets_for,
    three_quarters_of,
    weighted_ridge,
)

TOP = 32
"""Heads of each function, the best by share, that are tried as stand-ins for each other."""
RIDGE = 1.0


@scorer(
    "multihead",
    title="damage in random halves",
    label="Many heads (A6)",
    description="How much a head adds to the damage to a function's steps when half of all heads are ablated.",
    unit="nats",
    least=0.02,
    twin=False,
)
def multihead(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    means: Means | None = None,
    screens: int | None = None,
    halves: int = 128,
    questions: int = 32,
    confirm: int = 64,
    ridge: float = RIDGE,
    scope: str = "all",
    batch_size: int = 32,
    workers: Workers | None = None,
) -> Scores:
    """The share of each head in the damage that random halves of the heads do to a function's steps.

    Args:
        inputs: needs `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation: `mean` or `zero`.
        means: mean z `[L, H, D]`; from the activations if None.
        screens: random subsets by which the backbone is found; by default six per head.
        halves: halves by which heads are scored, at most.
        questions: of the split, the first so many are read.
        confirm: as many are read, if that is more, to complete and confirm stand-ins where some were found.
        ridge: penalty on the squared shares.
        scope: token positions of the ablation.
        batch_size: questions per batch.
        workers: processes on several devices or machines (`headatlas.cluster`) that run batches instead of this one; scopes
            must then be readable for single positions.

    Returns:
        Scores, in nats per head; 0 with p 1 for the backbone. The null turns the sign of each question's shares.
        `info["backbone"]`: those heads; `info["mass"]`: mean mass on valid answers under the halves; `info["groups"]`: of each
        function its redundant groups, each a list of heads; `info["damage"]`: their `joint`, `half` and `single` damage, nats,
        and each head's `share` while others of the group are missing; `info["stand_ins"]`: heads that were tried as a group.
        Arrays `[F, L, H]`, nats: `among`, every head's share of the damage among valid answers; `format`, its share of the
        format damage in random subsets; `alone`, its damage alone, NaN for heads that are no function's best.

    Raises:
        UnscorableError: the questions read have steps of fewer than three functions: heads that every step needs could then not
            be told from those of one function.
        HeadAtlasError: `vlm` or `data` is missing, or too few subsets or questions.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'multihead' runs the model; pass vlm= and data= to score()")
    inputs.only_language("multihead")
    if min(24 if screens is None else screens, halves) < 24 or questions < 1:
        raise HeadAtlasError(
            f"screens and halves must be 24 or more and questions 1 or more, got {screens}, {halves} and {questions}"
        )
    started = time.perf_counter()
    tokens = "given"
    if operation == "mean" and means is None:
        tokens, means = mean_tokens(inputs.activations), mean_z(inputs.activations, inputs.fit)
    split = inputs.data.split(inputs.on)
    asked = [split[i] for i in range(min(questions, len(split)))]
    readings = DamageReadings(inputs, asked, operation, means, scope, batch_size, workers)
    layers, heads = inputs.vlm.heads.shape
    n = layers * heads
    screens = max(24, SCREENS * n) if screens is None else screens
    numbers = np.random.default_rng(inputs.seed)
    labels = labels_of(readings.table)
    check_functions(labels, "multihead", f"the first {len(asked)} questions of split {inputs.on}")
    there = labels.any(0)
    found = screen(readings, numbers, screens, ridge)
    backbone, of_format = found.backbone, found.format

    free = np.ones(n, bool)
    free[backbone] = False
    subsets, idle = halves_of(int(free.sum()), halves, numbers)
    half = np.zeros((len(subsets), n), bool)
    half[:, free] = subsets
    damage, _, mass, whole = readings.damage(half)
    shares = weighted_ridge(np.concatenate([subsets, idle], 1), damage, mass, ridge).T  # [N, n + m]
    per_step = np.zeros((len(labels), n), np.float32)
    per_step[:, free] = shares[:, : free.sum()]
    by_idle = shares[:, free.sum() :]
    own = np.zeros((len(labels), n), np.float32)
    own[:, free] = weighted_ridge(subsets, whole, np.ones_like(whole), ridge).T
    own -= np.median([own[rows].mean(0) for rows in labels.T[there]], axis=0)
    scores = scores_of(
        SingleHeadDamage(readings.table, own.reshape(-1, layers, heads), np.zeros((len(labels), layers, heads), np.float32)),
        "logprob", MARGIN, "heads", inputs.n_null, inputs.seed,
    )  # fmt: skip
    pvalues = scores.pvalues
    if pvalues is not None:
        pvalues = np.where(free.reshape(layers, heads), pvalues, 1.0)
    info: dict[str, Any] = {
        "unit": "nats", "operation": operation, "mean_tokens": tokens, "scope": scope, "questions": len(asked),
        "confirm": confirm, "screens": screens, "halves": len(half),
        "backbone": [str(head_number(int(i), heads)) for i in backbone],
        "mass": float(mass.mean()), "groups": {}, "damage": {}, "stand_ins": {},
        "absent": [name for c, name in enumerate(inputs.functions) if not labels[:, c].any()],
    }  # fmt: skip
    among = np.stack([per_step[rows].mean(0) if rows.any() else np.zeros(n) for rows in labels.T])  # [F, n]
    tops = {
        c: np.array([i for i in np.argsort(-among[c], kind="stable") if free[i]][:TOP], int)
        for c in np.flatnonzero(there)
    }
    tried = np.unique(np.concatenate(list(tops.values())))
    alone, scene = _alone(readings, tried, n)
    of_alone = np.full((labels.shape[1], n), np.nan)
    found_by = {}
    for c, top in tops.items():
        rows = labels[:, c]
        of_alone[c] = alone[:, rows].mean(1)
        found_by[c] = top[
            stand_ins(per_step[rows][:, top], alone[top][:, rows].T, scene[rows], by_idle[rows], inputs.seed)
        ]
    if len(split) > len(asked) and confirm > questions and any(len(hidden) > 1 for hidden in found_by.values()):
        asked = [split[i] for i in range(min(confirm, len(split)))]
        readings = DamageReadings(inputs, asked, operation, means, scope, batch_size, workers)
        labels = labels_of(readings.table)
        alone, scene = _alone(readings, tried, n)
    for c, hidden in found_by.items():
        name, rows = inputs.functions[c], labels[:, c]
        hidden = _completed(hidden, tops[c], readings, rows, alone, scene)
        info["stand_ins"][name] = [str(head_number(int(i), heads)) for i in hidden]
        info["groups"][name], info["damage"][name] = [], []
        for group, measured in _redundant(hidden, readings, rows, alone, scene, ridge, numbers):
            info["groups"][name].append([str(head_number(int(i), heads)) for i in group])
            info["damage"][name].append(measured)
    info["seconds"] = time.perf_counter() - started
    arrays = {"alone": of_alone, "format": of_format, "among": among}
    arrays = {name: made.reshape(-1, layers, heads) for name, made in arrays.items()}
    return replace(scores, name="multihead", pvalues=pvalues, info=scores.info | info, arrays=scores.arrays | arrays)


def _alone(
    readings: Readings, tried: Int[np.ndarray, " k"], n: int
) -> tuple[Float[np.ndarray, "n N"], Int[np.ndarray, " N"]]:
    """What the heads `tried` cost each step alone, nats, NaN for all others of the n heads; and the number of its scene."""
    alone = np.full((n, len(readings.table)), np.nan)
    alone[tried] = readings.damage(np.eye(n, dtype=bool)[tried])[0]
    return alone, pd.factorize(scenes_of(readings.table))[0]


def _completed(
    hidden: np.ndarray,
    top: np.ndarray,
    readings: Readings,
    rows: Bool[np.ndarray, " N"],
    alone: Float[np.ndarray, "n N"],
    scene: np.ndarray,
) -> np.ndarray:
    """Step 2 of `scoring.redundancy`: the stand-ins `hidden`, and those of the heads `top` that do their work without them."""
    rest = top[~np.isin(top, hidden)]
    if len(hidden) < 2 or not len(rest):
        return hidden
    masks = np.zeros((1 + len(rest), len(alone)), bool)
    masks[:, hidden] = True
    masks[1 + np.arange(len(rest)), rest] = True
    damage, _, mass, _ = readings.damage(masks)
    more = ((damage[1:] - damage[0]) * mass[1:])[:, rows]
    none = np.zeros(
        (int(rows.sum()), 1)
    )  # every head is measured by itself here, so that there is no error of a design
    missed = stand_ins(more.T, alone[rest][:, rows].T, scene[rows], none, readings.inputs.seed)
    return np.concatenate([hidden, rest[missed]])


def _redundant(
    hidden: np.ndarray,
    readings: Readings,
    rows: Bool[np.ndarray, " N"],
    alone: Float[np.ndarray, "n N"],
    scene: np.ndarray,
    ridge: float,
    numbers: np.random.Generator,
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Steps 3 to 5 of `scoring.redundancy`, on the steps `rows`: groups and what they cost, the most damaging first."""
    if len(hidden) < 2:
        return []
    shares = []
    for subsets_of in (halves_of, three_quarters_of):
        gone, idle = subsets_of(len(hidden), subsets_for(len(hidden)), numbers)
        masks = np.zeros((len(gone), len(alone)), bool)
        masks[:, hidden] = gone
        damage, _, mass, _ = readings.damage(masks)
        shares.append(
            weighted_ridge(np.concatenate([gone, idle], 1), damage[:, rows], mass[:, rows], ridge)
        )  # [k + m, N]
    share, by_idle = np.split(np.mean(shares, axis=0), [len(hidden)])
    stay = stand_ins(share.T, alone[hidden][:, rows].T, scene[rows], by_idle.T, readings.inputs.seed)
    members = hidden[stay]
    if len(members) < 2:
        return []
    kept = []
    for group, whole in groups_of(members, share[stay], lambda sets: readings.joint(sets, rows), numbers):
        single = alone[group][:, rows].mean(1)
        if whole > max(single.sum(), 0.0) + MARGIN:
            halved = readings.joint([group[::2], group[1::2]], rows)
            each = [float(share[hidden == head].mean()) for head in group]
            measured = {"joint": whole, "half": float(halved.mean()), "single": single.tolist(), "share": each}
            kept.append((group, measured))
    return kept
