"""A6: what each head contributes when many are ablated at once, and which heads stand in for each other.

Random subsets of heads (each head with probability 0.12, 0.25 or 0.5) are ablated to their means, and every step's gold
log-probability is read in one sweep. Per function, a ridge regression of the damage on the subsets gives each head's additive
share; products of two of the `TOP` heads with the largest shares give pairwise terms. Heads that stand in for each other cost
little one by one and much together: their terms are positive. A redundant group is what strong positive terms connect; its joint
damage, that of its halves and of its members alone are then measured, not fitted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
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
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import evaluate

SHARES = (0.12, 0.25, 0.5)
CLIP = -8.0
"""Log-probabilities below are counted as this, nats: a wrong answer can be only so wrong."""
TOP = 24
RIDGE = 1.0
SUBSETS = 240


@scorer("multihead", title="damage in random subsets", label="Multi-head attribution (A6)", unit="nats")
def multihead(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    means: Means | None = None,
    subsets: int = SUBSETS,
    ridge: float = RIDGE,
    scope: str = "all",
    batch_size: int = 32,
) -> Scores:
    """The additive share of each head in the damage that random subsets of heads do to a function's steps.

    Args:
        inputs: needs `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation: `mean` or `zero`.
        means: mean z `[L, H, D]`; from the activations if None.
        subsets: how many random subsets; at least 8 for each head are wanted in expectation.
        ridge: penalty on the squared shares.
        scope: token positions of the ablation.
        batch_size: questions a batch.

    Returns:
        Scores, in nats a head. `info["r2"]` is the share of the damage's variance that the additive part explains, by function;
        `info["groups"]`: of each function its redundant group with `heads`, `joint`, `half` and `single` damage, nats. The null
        turns the sign of each question's shares. `arrays["pairs"]`: `[F, TOP, TOP]` pairwise terms of `info["top"]`.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing, or too few subsets.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'multihead' runs the model; pass vlm= and data= to score()")
    if subsets < 24:
        raise HeadAtlasError(f"subsets must be 24 or more, got {subsets}")
    started = time.perf_counter()
    tokens = "given"
    if operation == "mean" and means is None:
        tokens, means = mean_tokens(inputs.activations), mean_z(inputs.activations, inputs.fit)
    questions = inputs.data.split(inputs.on)
    chats = [conversation(question) for question in questions]
    table = evaluate(inputs.vlm, questions, batch_size=batch_size)
    layers, heads = inputs.vlm.heads.shape
    masks = random_subsets(layers * heads, subsets, inputs.seed)

    def damage(chosen: Iterable[np.ndarray]) -> Float[np.ndarray, "R N"]:
        conditions = [[ablate(_heads(mask, heads), operation, means)] for mask in chosen]

        def told(what: str, done: int, total: int, /) -> None:
            inputs.report("multihead", done, total)

        made = sweep(inputs.vlm, chats, conditions, scope, batch_size, told)
        return np.maximum(made.bare[0], CLIP)[None] - np.maximum(made.logprob, CLIP)

    losses = damage(masks)  # [R, N]
    shares, _ = ridge_fit(masks.astype(float), losses, ridge)  # [LH, N]
    per_step = shares.T.reshape(-1, layers, heads).astype(np.float32)
    scores = scores_of(
        SingleHeadDamage(table, per_step, np.zeros_like(per_step)), "logprob", 0.0, "heads", inputs.n_null, inputs.seed
    )
    labels = labels_of(table)
    r2, groups, tops = {}, {}, {}
    pairs = np.zeros((labels.shape[1], TOP, TOP))
    for c, name in enumerate(inputs.functions):
        if not labels[:, c].any():
            continue
        wanted = losses[:, labels[:, c]].mean(1)
        share, fitted = ridge_fit(masks.astype(float), wanted[:, None], ridge)
        r2[name] = float(1 - ((wanted - fitted[:, 0]) ** 2).sum() / max(((wanted - wanted.mean()) ** 2).sum(), 1e-12))
        top = np.argsort(-share[:, 0], kind="stable")[:TOP]
        terms = pair_terms(masks[:, top], wanted, ridge)
        pairs[c, : len(top), : len(top)] = terms
        tops[name] = [str(_head(i, heads)) for i in top]
        group = redundant_group(terms)
        groups[name] = _measured(top[group], damage, labels[:, c], heads)
    info = {
        "unit": "nats", "operation": operation, "mean_tokens": tokens, "scope": scope, "subsets": subsets, "r2": r2,
        "groups": groups, "top": tops, "absent": [n for i, n in enumerate(inputs.functions) if not labels[:, i].any()],
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    return replace(scores, name="multihead", info=scores.info | info, arrays=scores.arrays | {"pairs": pairs})


def random_subsets(n: int, subsets: int, seed: int) -> Bool[np.ndarray, "R n"]:
    """Random subsets of n heads, a third of them with each share of `SHARES`."""
    numbers = np.random.default_rng(seed)
    share = np.resize(SHARES, subsets)[:, None]
    return numbers.random((subsets, n)) < share


def ridge_fit(
    x: Float[np.ndarray, "R n"], y: Float[np.ndarray, "R m"], ridge: float
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "R m"]]:
    """Coefficients of a ridge regression with a free constant, and the fitted values."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    centred = x - mean_x
    weights = np.linalg.solve(centred.T @ centred + ridge * np.eye(x.shape[1]), centred.T @ (y - mean_y))
    return weights, mean_y + centred @ weights


def pair_terms(
    masks: Bool[np.ndarray, "R k"], damage: Float[np.ndarray, " R"], ridge: float
) -> Float[np.ndarray, "k k"]:
    """Symmetric pairwise terms of k heads, fitted with their single ones; 0 on the diagonal. Positive: more damage together than
    the sum of both."""
    k = masks.shape[1]
    couples = list(combinations(range(k), 2))
    centred = masks - masks.mean(0)
    products = np.stack([centred[:, i] * centred[:, j] for i, j in couples], 1)
    weights, _ = ridge_fit(np.concatenate([masks.astype(float), products], 1), damage[:, None], ridge)
    out = np.zeros((k, k))
    for (i, j), weight in zip(couples, weights[k:, 0], strict=True):
        out[i, j] = out[j, i] = weight
    return out


def redundant_group(terms: Float[np.ndarray, "k k"]) -> list[int]:
    """The heads that positive terms beyond two standard deviations of all terms connect, with the largest sum of them; empty if
    none is so large."""
    k = len(terms)
    spread = terms[np.triu_indices(k, 1)].std() if k > 1 else 0.0
    strong = terms > max(2 * spread, 1e-9)
    unseen, best, best_sum = set(range(k)), [], 0.0
    while unseen:
        queue, group = [unseen.pop()], []
        while queue:
            at = queue.pop()
            group.append(at)
            near = {j for j in unseen if strong[at, j]}
            unseen -= near
            queue += sorted(near)
        total = float(terms[np.ix_(group, group)].sum())
        if len(group) > 1 and total > best_sum:
            best, best_sum = sorted(group), total
    return best


def _measured(group: np.ndarray, damage: Any, rows: np.ndarray, heads: int) -> dict[str, Any]:
    """The damage of a group as a whole, of its halves and of its members alone, on the steps of its function, nats."""
    if not len(group):
        return {"heads": [], "joint": 0.0, "half": 0.0, "single": []}
    sets = [group, group[::2], group[1::2], *[group[i : i + 1] for i in range(len(group))]]
    masks = [np.asarray(chosen) for chosen in sets]
    made = damage(masks)[:, rows].mean(1)
    return {
        "heads": [str(_head(i, heads)) for i in group],
        "joint": float(made[0]),
        "half": float(made[1:3].mean()),
        "single": [float(value) for value in made[3:]],
    }


def _heads(chosen: np.ndarray, heads: int) -> HeadSet:
    """A set from a mask over all heads, or from their numbers."""
    numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    return HeadSet(_head(int(i), heads) for i in numbers)


def _head(number: int, heads: int) -> Head:
    return Head(int(number) // heads, int(number) % heads)
