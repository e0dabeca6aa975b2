"""Find latent heads. A head is latent if three conditions hold: the function is decodable from it above the null and the
untrained twin; removing it has no effect, alone and with its group; and a method *recruits* it, that is, gives it an effect.

The group of a function's idle heads is the largest set of them, the least effective first, that can be removed
together while the loss stays within +-delta of zero (found by bisection on split S). A head that can be removed alone
but not with the group is redundant, not latent. Recruitment is measured on split S too: with the method in force, z of
the head is replaced by the mean that it has under the method, and what the steps lose must exceed what they lose
without the method (one-sided, scenes resampled, Benjamini-Hochberg over heads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from headatlas import stats
from headatlas.activations import capture
from headatlas.cogvsr.functions import SPATIAL, check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention.effects import check_paired
from headatlas.intervention.operations import Means, ablate, mean_z
from headatlas.latent.heads import DELTA, LEVEL, decodable_mask, equivalence_p
from headatlas.latent.methods.base import Method
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores, ScoringInputs, function_index, labels_of
from headatlas.scoring.linear import linear
from headatlas.stats import Estimate
from headatlas.vlm import VLM, evaluate

Losses = Callable[[HeadSet], pd.DataFrame]
"""The answers table of split S with some heads removed; of the unchanged model for the empty set."""


@dataclass(frozen=True, eq=False)
class LatentInputs:
    """Inputs of `latent_table`.

    Attributes:
        vlm, data: model and questions; split S is used.
        decodable: scores of the linear probe, with p-values.
        effect: scores of exact single-head ablation, with per-step values, in nats.
        means: mean z of every head over split P, which replaces the z of removed heads.
        methods: fitted methods that may recruit heads.
        twin: scores of the linear probe on the untrained twin (`twin_scores`); None leaves that comparison out.
        functions: which functions.
        batch_size, n_boot: as elsewhere.
    """

    vlm: VLM
    data: Any
    decodable: Scores
    effect: Scores
    means: Means
    methods: Mapping[str, Method] = field(default_factory=dict)
    twin: Scores | None = None
    functions: Sequence[str] = SPATIAL
    batch_size: int = 16
    n_boot: int = 2000


def latent_table(inputs: LatentInputs) -> pd.DataFrame:
    """Rows of results/latent.csv: every head from which one of the functions can be decoded.

    Raises:
        HeadAtlasError: scores without p-values or per-step values, of different grids, or in another unit than nats.
    """
    if inputs.decodable.shape != inputs.effect.shape:
        raise HeadAtlasError(
            f"both scores must be of the same heads, got grids {inputs.decodable.shape} and {inputs.effect.shape}"
        )
    if inputs.effect.info.get("measure", "logprob") != "logprob":
        raise HeadAtlasError("latent heads need effects in nats: score ablation with measure='logprob'")
    questions = list(inputs.data.split("S"))
    cache: dict[frozenset[Head], pd.DataFrame] = {}

    def losses(heads: HeadSet) -> pd.DataFrame:
        key = frozenset(heads)
        if key not in cache:
            edits = [ablate(heads, "mean", inputs.means)] if heads else []
            with inputs.vlm.edit(*edits):
                cache[key] = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
        return cache[key]

    parts = [_of_function(inputs, function, losses) for function in inputs.functions]
    table = pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=_OWN)], ignore_index=True)
    _recruit(inputs, table, losses, questions)
    table["latent"] = table["idle"].astype(bool) & (table["recruited_by"] != "")
    return table[list(RESULTS["latent"].names)]


_OWN = [name for name in RESULTS["latent"].names if name != "latent"]


def _of_function(inputs: LatentInputs, function: str, losses: Losses) -> pd.DataFrame:
    """The first two conditions, for the heads from which `function` is decodable."""
    c, delta = function_index(check_function(function)), DELTA["logprob"]
    try:
        alone = equivalence_p(inputs.effect, function, delta)
    except HeadAtlasError:  # too few questions of this function
        return pd.DataFrame(columns=_OWN)
    assert inputs.decodable.pvalues is not None
    readable = decodable_mask(inputs.decodable, function)
    values, effect = inputs.decodable.values[c], inputs.effect.values[c]
    q = stats.benjamini_hochberg(inputs.decodable.pvalues[c].ravel()).reshape(values.shape)
    twin = np.nan if inputs.twin is None else float(inputs.twin.values[c].max())
    heads = [Head(int(layer), int(h)) for layer, h in np.argwhere(readable & ~(values <= twin))]
    single = [head for head in heads if alone[head.layer, head.head] < LEVEL]
    group = removable_group(
        sorted(single, key=lambda head: abs(effect[head.layer, head.head])), losses, function, delta
    )
    rows = []
    for head in sorted(heads, key=lambda head: -values[head.layer, head.head]):
        at = head.layer, head.head
        together, p_group = np.nan, np.nan
        if head in single and group:
            together, p_group = loss_of(losses, HeadSet([*group, head]), function, delta)
        rows.append(
            {
                "function": function, "layer": head.layer, "head": head.head, "auc": values[at], "q_auc": q[at], "twin": twin,
                "effect": effect[at], "p_effect": alone[at], "group": str(group), "group_effect": together,
                "p_group": p_group, "recruited_by": "", "recruited_effect": np.nan, "p_recruited": np.nan,
                "idle": head in single and (p_group < LEVEL),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=_OWN)


def removable_group(ordered: Sequence[Head], losses: Losses, function: str, delta: float) -> HeadSet:
    """The longest prefix of `ordered` that can be removed together without effect, found by bisection."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high + 1) // 2
        if loss_of(losses, HeadSet(ordered[:middle]), function, delta)[1] < LEVEL:
            low = middle
        else:
            high = middle - 1
    return HeadSet(ordered[:low])


def loss_of(losses: Losses, heads: HeadSet, function: str, delta: float) -> tuple[float, float]:
    """The mean loss of the function's steps without some heads (nats), and the p of the equivalence test."""
    values, scenes = _lost(losses(HeadSet(())), losses(heads), function)
    return float(values.mean()), stats.tost(values, scenes, delta)


def _lost(before: pd.DataFrame, after: pd.DataFrame, function: str) -> tuple[Float[np.ndarray, " N"], np.ndarray]:
    check_paired(before, after)
    rows = labels_of(before)[:, function_index(function)]
    values = (before["logprob"] - after["logprob"]).to_numpy(float)[rows]
    return values, before["question"].to_numpy()[rows]


def _recruit(inputs: LatentInputs, table: pd.DataFrame, losses: Losses, questions: Sequence[Any]) -> None:
    """Fill in the third condition: for idle heads, the method under which their effect rises most."""
    idle = table[table["idle"].astype(bool)]
    heads = HeadSet(Head(int(layer), int(h)) for layer, h in zip(idle["layer"], idle["head"], strict=True))
    if not heads:
        return
    changes: dict[str, list[Estimate]] = {}
    effects: dict[str, list[float]] = {}
    for name, method in inputs.methods.items():
        touched = heads & HeadSet(getattr(method, "heads", ()))
        if getattr(method, "reason", "") or not touched:
            continue
        with method.applied(inputs.vlm):
            means = _means(inputs)
            base = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
            without = {}
            for head in touched:
                with inputs.vlm.edit(ablate(HeadSet((head,)), "mean", means)):
                    without[head] = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
        changes[name], effects[name] = [], []
        for _, row in idle.iterrows():
            head = Head(int(row["layer"]), int(row["head"]))
            if head not in without:
                changes[name].append(Estimate(np.nan, np.nan, np.nan, 0))
                effects[name].append(np.nan)
                continue
            bare, scenes = _lost(losses(HeadSet(())), losses(HeadSet((head,))), row["function"])
            now, _ = _lost(base, without[head], row["function"])
            changes[name].append(stats.paired_bootstrap(bare, now, scenes, n=inputs.n_boot))
            effects[name].append(float(now.mean()))
    for name, estimates in changes.items():
        # One-sided: half of the two-sided p where the effect rises.
        p = np.array([e.p / 2 if e.value > 0 else 1 - e.p / 2 for e in estimates])
        q = stats.benjamini_hochberg(p)
        for i, row in enumerate(idle.index):
            risen = effects[name][i] > np.nan_to_num(table.at[row, "recruited_effect"], nan=-np.inf)
            if q[i] <= LEVEL and risen:
                table.loc[row, ["recruited_by", "recruited_effect", "p_recruited"]] = [name, effects[name][i], p[i]]


def _means(inputs: LatentInputs) -> Means:
    """Mean z of every head under the active method, over questions of split P."""
    questions = list(inputs.data.split("P"))[:32]
    return mean_z(capture(inputs.vlm, questions, ("all",), batch_size=inputs.batch_size), "P")


def twin_scores(vlm: VLM, data: Any, tokens: str, n_null: int = 10, seed: int = 0, batch_size: int = 16) -> Scores:
    """Scores of the linear probe on the untrained twin: the same architecture, tokenizer and pictures, weights drawn anew."""
    twin = VLM(f"{vlm.name} (untrained)", untrained(vlm.model, seed), vlm.processor)
    acts = capture(twin, [*data.split("P"), *data.split("S")], tokens, batch_size=batch_size)
    return linear(ScoringInputs(acts, tokens, data=data, n_null=n_null, seed=seed))


def untrained(model: Any, seed: int = 0) -> Any:
    """A model of the same configuration with weights drawn anew, as transformers draws them before training."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        twin = type(base)(deepcopy(base.config))
    parameter = next(base.parameters())
    return twin.to(parameter.device, parameter.dtype).eval().requires_grad_(False)
