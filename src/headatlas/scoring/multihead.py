"""The scorer `multihead` (A6): the contribution of each head when many are ablated at once, and redundant groups of heads.

Damage is measured on the gold answer's log-probability *among valid answers*: its log-probability minus the log of the mass on
the first tokens of valid answers (`scoring.valid_answers`). A fall of that mass is *format* damage: the model no longer gives an
answer of this type, so its answer shows nothing about the function. Each measurement is weighted by the remaining mass.

1. Screen: random subsets of all heads (each head with probability 0.12, 0.25 or 0.5) are ablated; ridge regressions give each
   head's share of the total damage to each function, and of the format damage.
2. Backbone: heads whose share for the *median* function is `GENERAL` or more. Every step needs them, to read its words or to
   answer at all: removing them breaks the model, not one function. They stay intact from here on, and are not scored.
3. Halves: random halves of the other heads are ablated. Half of a redundant group is gone then, so that each of its heads
   matters. Weighted ridge regressions of the damage on the halves give the scores.
4. Groups: among the `TOP` heads of a function, pairs that cost more together than the sum of both have positive terms. Heads
   joined by strong ones are a group if their joint damage, measured, exceeds the sum of their single ones, measured too; groups
   that cost more together than one by one are joined to one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from headatlas.engine.sweep import sweep
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention.operations import Means, ablate, mean_tokens, mean_z
from headatlas.scoring.ablation import SingleHeadDamage, scores_of
from headatlas.scoring.base import Scores, ScoringInputs, labels_of, scorer
from headatlas.scoring.valid_answers import valid_tokens
from headatlas.vlm.chat import conversations
from headatlas.vlm.evaluate import evaluate

SHARES = (0.12, 0.25, 0.5)
CLIP = -8.0
"""Log-probabilities are clipped at this value, nats, so that very wrong answers do not dominate."""
GENERAL = 0.2
"""Nats that a head must cost the median function, in random subsets, to belong to the backbone."""
TOP = 24
RIDGE = 1.0
STRONG = 3.0
MERGED = 4
"""Number of groups, the strongest first, that are tested for joining."""
MARGIN = 0.01
"""A share of damage, in nats, that still counts as none."""


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
    screens: int = 72,
    halves: int = 160,
    questions: int = 32,
    ridge: float = RIDGE,
    scope: str = "all",
    batch_size: int = 32,
) -> Scores:
    """The share of each head in the damage that random halves of the heads do to a function's steps.

    Args:
        inputs: needs `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation: `mean` or `zero`.
        means: mean z `[L, H, D]`; from the activations if None.
        screens: random subsets by which the backbone is found.
        halves: random halves by which heads are scored.
        questions: of the split, the first so many are read.
        ridge: penalty on the squared shares.
        scope: token positions of the ablation.
        batch_size: questions a batch.

    Returns:
        Scores, in nats a head; 0 with p 1 for the backbone. The null turns the sign of each question's shares.
        `info["backbone"]`: those heads; `info["mass"]`: mean mass on valid answers under the halves; `info["groups"]`: of each
        function its redundant groups, each a list of heads; `info["damage"]`: their `joint`, `half` and `single` damage,
        nats. `arrays["format"]`: every head's share of the format damage `[F, L, H]`, nats; `arrays["pairs"]`: pairwise
        terms `[F, TOP, TOP]` of `info["top"]`.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing, or too few subsets or questions.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'multihead' runs the model; pass vlm= and data= to score()")
    if min(screens, halves) < 24 or questions < 1:
        raise HeadAtlasError(
            f"screens and halves must be 24 or more and questions 1 or more, got {screens}, {halves} and {questions}"
        )
    started = time.perf_counter()
    tokens = "given"
    if operation == "mean" and means is None:
        tokens, means = mean_tokens(inputs.activations), mean_z(inputs.activations, inputs.fit)
    split = inputs.data.split(inputs.on)
    asked = [split[i] for i in range(min(questions, len(split)))]
    readings = _Readings(inputs, asked, operation, means, scope, batch_size)
    layers, heads = inputs.vlm.heads.shape
    n = layers * heads
    numbers = np.random.default_rng(inputs.seed)
    labels = labels_of(readings.table)

    share = np.resize(SHARES, screens)[:, None]
    screen = numbers.random((screens, n)) < share
    _, lost, _, whole = readings.damage(screen)
    there = labels.any(0)
    of_format, of_all = (_by_function(screen, each, labels, ridge) for each in (lost, whole))  # [F, n]
    backbone = np.flatnonzero(np.median(of_all[there], axis=0) >= GENERAL)

    free = np.ones(n, bool)
    free[backbone] = False
    half = (numbers.random((halves, n)) < 0.5) & free
    damage, _, mass, _ = readings.damage(half)
    shares = weighted_ridge(half[:, free], damage, mass, ridge)
    per_step = np.zeros((len(labels), n), np.float32)
    per_step[:, free] = shares.T
    scores = scores_of(
        SingleHeadDamage(readings.table, per_step.reshape(-1, layers, heads), np.zeros((len(labels), layers, heads), np.float32)),
        "logprob", MARGIN, "heads", inputs.n_null, inputs.seed,
    )  # fmt: skip
    pvalues = scores.pvalues
    if pvalues is not None:
        pvalues = np.where(free.reshape(layers, heads), pvalues, 1.0)
    info: dict[str, Any] = {
        "unit": "nats", "operation": operation, "mean_tokens": tokens, "scope": scope, "questions": len(asked),
        "screens": screens, "halves": halves, "backbone": [str(_head(int(i), heads)) for i in backbone],
        "mass": float(mass.mean()), "groups": {}, "damage": {}, "top": {},
        "absent": [name for c, name in enumerate(inputs.functions) if not labels[:, c].any()],
    }  # fmt: skip
    pairs = np.zeros((labels.shape[1], TOP, TOP))
    for c, name in enumerate(inputs.functions):
        rows = labels[:, c]
        if not rows.any():
            continue
        ranked = [int(i) for i in np.argsort(-scores.values[c].ravel(), kind="stable") if free[i]]
        top = np.array(ranked[:TOP])
        total = mass[:, rows].sum(1)
        mean = (mass[:, rows] * damage[:, rows]).sum(1) / np.maximum(total, 1e-9)
        terms = pair_terms(half, top, mean, total, ridge)
        pairs[c, : len(top), : len(top)] = terms
        info["top"][name] = [str(_head(i, heads)) for i in top]
        info["groups"][name], info["damage"][name] = [], []
        for group, measured in _redundant([top[group] for group in joined(terms)], readings, rows):
            info["groups"][name].append([str(_head(i, heads)) for i in group])
            info["damage"][name].append(measured)
    info["seconds"] = time.perf_counter() - started
    arrays = {"pairs": pairs, "format": of_format.reshape(-1, layers, heads)}
    return replace(scores, name="multihead", pvalues=pvalues, info=scores.info | info, arrays=scores.arrays | arrays)


class _Readings:
    """Damage to some questions under ablated sets of heads."""

    def __init__(
        self, inputs: ScoringInputs, questions: Sequence[Any], operation: str, means: Any, scope: str, batch_size: int
    ) -> None:
        self.inputs, self._operation, self._means, self._scope = inputs, operation, means, scope
        self._batch_size, self._heads = batch_size, inputs.vlm.heads.shape[1]
        self._chats = conversations(questions)
        self._valid = valid_tokens(inputs.vlm, questions, self._chats)
        self.table = evaluate(inputs.vlm, questions, batch_size=batch_size)

    def damage(self, masks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For each set of heads, `[R, N]` each: the damage among valid answers, the format damage (both nats), the remaining mass
        on valid answers, and the total damage to the gold answer (nats)."""
        conditions = [[ablate(_heads(mask, self._heads), self._operation, self._means)] for mask in masks]

        def report(what: str, done: int, total: int, /) -> None:
            self.inputs.report("multihead", done, total)

        result = sweep(self.inputs.vlm, self._chats, conditions, self._scope, self._batch_size, report, self._valid)
        assert result.valid is not None
        left, before = result.valid[:-1], result.valid[-1]
        among = np.maximum(result.logprob - left, CLIP)
        return (
            np.maximum(result.bare[0] - before, CLIP)[None] - among,
            np.minimum(before[None] - left, -CLIP),
            np.exp(np.minimum(left, 0.0)),
            np.maximum(result.bare[0], CLIP)[None] - np.maximum(result.logprob, CLIP),
        )

    def joint(self, sets: Iterable[np.ndarray], rows: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " R"]:
        """The mean damage of each set of heads among valid answers, on some steps, weighted by the remaining mass, nats."""
        among, _, mass, _ = self.damage(sets)
        return (among * mass)[:, rows].sum(1) / np.maximum(mass[:, rows].sum(1), 1e-9)


def weighted_ridge(
    x: Bool[np.ndarray, "R n"], y: Float[np.ndarray, "R m"], weights: Float[np.ndarray, "R m"], ridge: float
) -> Float[np.ndarray, "n m"]:
    """Coefficients of a ridge regression with a free constant for each column of y, with weights of its own; 0 where all weights
    are 0. Solved in the smaller of both dimensions."""
    x = x.astype(float)
    out = np.zeros((x.shape[1], y.shape[1]))
    for s in range(y.shape[1]):
        total = weights[:, s].sum()
        if total < 1e-6:
            continue
        root = np.sqrt(weights[:, s])[:, None]
        a = root * (x - (weights[:, s] @ x) / total)
        b = root[:, 0] * (y[:, s] - (weights[:, s] @ y[:, s]) / total)
        if x.shape[1] <= x.shape[0]:
            out[:, s] = np.linalg.solve(a.T @ a + ridge * np.eye(x.shape[1]), a.T @ b)
        else:
            out[:, s] = a.T @ np.linalg.solve(a @ a.T + ridge * np.eye(x.shape[0]), b)
    return out


def pair_terms(
    masks: Bool[np.ndarray, "R n"],
    top: np.ndarray,
    damage: Float[np.ndarray, " R"],
    weights: Float[np.ndarray, " R"],
    ridge: float,
) -> Float[np.ndarray, "k k"]:
    """Symmetric pairwise terms of the heads `top`, fitted with the single terms of all heads; 0 on the diagonal. Positive: more
    damage together than the sum of both."""
    x = masks.astype(float)
    centred = x - x.mean(0)
    couples = list(combinations(range(len(top)), 2))
    products = np.stack([centred[:, top[i]] * centred[:, top[j]] for i, j in couples], 1)
    # Single terms are fitted first without penalty, so that only pairs are penalised.
    out = np.zeros((len(top), len(top)))
    fit = _weighted_fit(centred, products, damage, weights, ridge)
    for (i, j), weight in zip(couples, fit, strict=True):
        out[i, j] = out[j, i] = weight
    return out


def _weighted_fit(
    single: Float[np.ndarray, "R n"],
    products: Float[np.ndarray, "R p"],
    damage: Float[np.ndarray, " R"],
    weights: Float[np.ndarray, " R"],
    ridge: float,
) -> Float[np.ndarray, " p"]:
    root = np.sqrt(weights / max(weights.mean(), 1e-12))[:, None]
    x = root * np.concatenate([np.ones((len(single), 1)), single], 1)
    # Residuals of products and damage after the single terms.
    basis = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T)
    rest = root * products - x @ (basis @ (root * products))
    left = root[:, 0] * damage - x @ (basis @ (root[:, 0] * damage))
    scale = ridge
    return rest.T @ np.linalg.solve(rest @ rest.T + scale * np.eye(len(rest)), left)


def joined(terms: Float[np.ndarray, "k k"]) -> list[list[int]]:
    """Groups of heads that strong positive terms connect, the largest sum of terms first.

    A group begins with the largest term, and grows by the head with the largest mean term with its heads, as long as these are
    beyond `STRONG` standard errors; the spread of all terms around 0 is taken as the error of one.
    """
    k = len(terms)
    if k < 2:
        return []
    values = terms[np.triu_indices(k, 1)]
    error = np.median(np.abs(values)) / 0.6745
    groups: list[tuple[float, list[int]]] = []
    free = set(range(k))
    while len(free) > 1:
        i, j = max(combinations(sorted(free), 2), key=lambda pair: terms[pair])
        if not terms[i, j] > STRONG * error:
            break
        group = [i, j]
        while True:
            rest = [h for h in sorted(free) if h not in group]
            if not rest:
                break
            best = max(rest, key=lambda h: terms[h, group].mean())
            if not terms[best, group].mean() > STRONG * error / np.sqrt(len(group)):
                break
            group.append(best)
        free -= set(group)
        groups.append((float(terms[np.ix_(group, group)].sum()), sorted(group)))
    return [group for _, group in sorted(groups, reverse=True)]


def _by_function(
    masks: Bool[np.ndarray, "R n"], damage: Float[np.ndarray, "R N"], labels: Bool[np.ndarray, "N F"], ridge: float
) -> Float[np.ndarray, "F n"]:
    """Each head's share of the mean damage to each function's steps; 0 for a function without steps."""
    counts = np.maximum(labels.sum(0), 1)
    means = damage @ labels / counts  # [R, F]
    return weighted_ridge(masks, means, np.ones_like(means), ridge).T


def _redundant(
    candidates: Sequence[np.ndarray], readings: _Readings, rows: Bool[np.ndarray, " N"]
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Candidate groups whose joint damage exceeds the sum over their heads, the most damaging first. Groups that cost more
    together than one by one are joined."""
    groups = [np.asarray(group) for group in candidates[:MERGED]]
    damage = list(readings.joint(groups, rows)) if groups else []
    while len(groups) > 1:
        pairs = list(combinations(range(len(groups)), 2))
        unions = readings.joint([np.concatenate([groups[i], groups[j]]) for i, j in pairs], rows)
        gains = [union - damage[i] - damage[j] for union, (i, j) in zip(unions, pairs, strict=True)]
        best = int(np.argmax(gains))
        if not gains[best] > MARGIN:
            break
        i, j = pairs[best]
        groups = [*(g for k, g in enumerate(groups) if k not in (i, j)), np.concatenate([groups[i], groups[j]])]
        damage = [*(d for k, d in enumerate(damage) if k not in (i, j)), float(unions[best])]
    rest = []
    for group in groups:
        measured = _measured(readings, group, rows)
        if measured["joint"] > max(sum(measured["single"]), 0) + MARGIN:
            rest.append((group, measured))
    return sorted(rest, key=lambda pair: -pair[1]["joint"])


def _measured(readings: _Readings, group: np.ndarray, rows: Bool[np.ndarray, " N"]) -> dict[str, Any]:
    """The damage of a group as a whole, of its halves and of its members alone, on the steps of its function, nats."""
    sets = [group, group[::2], group[1::2], *[group[i : i + 1] for i in range(len(group))]]
    damage = readings.joint(sets, rows)
    return {
        "joint": float(damage[0]),
        "half": float(damage[1:3].mean()),
        "single": [float(value) for value in damage[3:]],
    }


def _heads(chosen: np.ndarray, heads: int) -> HeadSet:
    """A head set from a mask over all heads, or from their numbers."""
    numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return HeadSet(_head(int(i), heads) for i in numbers)


def _head(number: int, heads: int) -> Head:
    return Head(int(number) // heads, int(number) % heads)
