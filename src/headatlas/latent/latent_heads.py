"""Find latent heads. A head is latent if three conditions hold: the function is decodable from it above the null and the
untrained twin; removing it has no effect, alone and with its group; and a method *recruits* it, that is, gives it an effect.

The group of a function's idle heads are those that can be removed together (`latent.removable`, on split S). A head that can be
removed alone, but whose removal matters once the rest of the group is gone, is redundant, not latent.

Recruitment is measured on split S too. A method recruits a head if acting on it makes the function's answers likelier by
more than delta (one-sided, scenes resampled, Benjamini-Hochberg over heads): either with the method in force on all its
other heads, or on none of them. The second finds heads that do the same work as others which the method recruits too. For
methods that cannot leave out a head (`lora`), the head is removed with the method in force instead.

A method that is fitted by gradient does not find a head that is so faint that a little more of it changes nothing. So an idle
head that no method recruits is also tried by itself at each of the factors `LOUDER`; the best one on split P is tested on split
S.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from headatlas import stats
from headatlas.activations import capture
from headatlas.cogvsr.functions import SPATIAL, check_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Edit, Head, HeadSet, scale
from headatlas.intervention import Condition, Runner
from headatlas.intervention.operations import Means, ablate, mean_z
from headatlas.latent.idle import DELTA, LEVEL, decodable_mask, equivalence_p
from headatlas.latent.methods.base import Method
from headatlas.latent.removable import added_loss, lost, removable_group
from headatlas.printing import brief
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores, ScoringInputs, function_index
from headatlas.scoring.linear import linear
from headatlas.vlm import VLM, evaluate, untrained_twin
from headatlas.vlm.recipe import HeadRecipe

LOUDER = (4.0, 16.0, 64.0, 256.0)
"""Factors at which idle heads that no method recruits are tried."""
TRIED, CHOOSING = 32, 64
"""At most so many heads of a function are tried, the most decodable ones, and on so many questions of split P."""

Pairs = dict[Head, list[tuple[pd.DataFrame, pd.DataFrame]]]
"""For each head, answers tables of split S without and with the method's work on it."""


@dataclass(frozen=True, eq=False)
class LatentInputs:
    """Inputs of `latent_table`.

    Attributes:
        vlm, data: model and questions; split S is used, and split P to choose factors.
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

    __repr__ = brief


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
    runner = Runner(inputs.vlm, inputs.data, batch_size=inputs.batch_size)

    def removed(sets: Sequence[HeadSet]) -> list[pd.DataFrame]:
        return answers(runner, [[ablate(heads, "mean", inputs.means)] if heads else [] for heads in sets])

    parts = [_of_function(inputs, function, removed) for function in inputs.functions]
    table = pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=_OWN)], ignore_index=True)
    _recruit(inputs, table, runner)
    _make_louder(inputs, table, runner, _first(inputs, CHOOSING))
    table["latent"] = table["idle"].astype(bool) & (table["recruited_by"] != "")
    return table[list(RESULTS["latent"].names)]


def answers(runner: Runner, edits: Sequence[Sequence[Any]], scope: str = "all", split: str = "S") -> list[pd.DataFrame]:
    """Answers tables of a split under each list of edits; those that the runner knows are not computed again."""
    return list(runner.run_many([Condition(f"condition {i}", tuple(e), scope) for i, e in enumerate(edits)], split))


_OWN = [name for name in RESULTS["latent"].names if name != "latent"]


def _of_function(
    inputs: LatentInputs, function: str, removed: Callable[[Sequence[HeadSet]], list[pd.DataFrame]]
) -> pd.DataFrame:
    """The first two conditions, for the heads from which `function` is decodable."""

    def losses(heads: HeadSet) -> pd.DataFrame:
        return removed([heads])[0]

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
    if single:  # all sets that are looked at below, at once; the runner keeps them
        removed([HeadSet(other for other in group if other != head) for head in single])
        removed([HeadSet([*group, head]) for head in single])
    rows = []
    for head in sorted(heads, key=lambda head: -values[head.layer, head.head]):
        at = head.layer, head.head
        together, p_group = np.nan, np.nan
        if head in single:
            together, p_group = added_loss(losses, [head], group, function, delta)
        rows.append(
            {
                "function": function, "layer": head.layer, "head": head.head, "auc": values[at], "q_auc": q[at], "twin": twin,
                "effect": effect[at], "p_effect": alone[at], "group": str(group), "group_effect": together,
                "p_group": p_group, "recruited_by": "", "recruited_effect": np.nan, "p_recruited": np.nan,
                "idle": head in single and (p_group < LEVEL),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=_OWN)


def _recruit(inputs: LatentInputs, table: pd.DataFrame, runner: Runner) -> None:
    """Fill in the third condition: for each idle head, the method that recruits it most."""
    idle = table[table["idle"].astype(bool)]
    heads = HeadSet(Head(int(layer), int(h)) for layer, h in zip(idle["layer"], idle["head"], strict=True))
    for name, method in inputs.methods.items():
        touched = heads & HeadSet(getattr(method, "heads", ()))
        if getattr(method, "reason", "") or not touched:
            continue
        recipe = _recipe(method, inputs.vlm)
        acted = acted_on(runner, recipe, touched) if recipe is not None else removed_under(inputs, method, touched)
        found = [
            recruited(acted.get(Head(int(row["layer"]), int(row["head"])), []), row["function"], inputs.n_boot)
            for _, row in idle.iterrows()
        ]
        q = stats.benjamini_hochberg(np.array([p for _, p in found]))
        for i, row in enumerate(idle.index):
            risen = found[i][0] > np.nan_to_num(table.at[row, "recruited_effect"], nan=-np.inf)
            if q[i] <= LEVEL and risen:
                table.loc[row, ["recruited_by", "recruited_effect", "p_recruited"]] = [name, *found[i]]


def _first(inputs: LatentInputs, n: int) -> Runner:
    """A runner of the first `n` questions of split P."""
    questions = inputs.data.split("P")
    return Runner(inputs.vlm, questions.select(questions.ids[:n]), batch_size=inputs.batch_size)


def _make_louder(inputs: LatentInputs, table: pd.DataFrame, runner: Runner, choosing: Runner) -> None:
    """Fill in the third condition for idle heads that no method recruits: what each does at a factor of its own."""
    tried = table[table["idle"].astype(bool) & (table["recruited_by"] == "")]
    tried = tried.sort_values("auc", ascending=False, kind="stable").groupby("function", sort=False).head(TRIED)
    heads = sorted({Head(int(layer), int(h)) for layer, h in zip(tried["layer"], tried["head"], strict=True)})
    if not heads:
        return
    edits = [[scale(HeadSet((head,)), factor)] for head in heads for factor in LOUDER]
    bare, *louder = answers(choosing, [[], *edits], split="P")
    best = []  # of each row, the edit that helps most on split P
    for _, row in tried.iterrows():
        first = len(LOUDER) * heads.index(Head(int(row["layer"]), int(row["head"])))
        own = [float(lost(one, bare, row["function"])[0].mean()) for one in louder[first : first + len(LOUDER)]]
        best.append(first + int(np.argmax(own)) if max(own) > DELTA["logprob"] else None)
    chosen = sorted({i for i in best if i is not None})
    bare, *louder = answers(runner, [[], *(edits[i] for i in chosen)])
    found = [
        (float("nan"), 1.0)
        if i is None
        else recruited([(bare, louder[chosen.index(i)])], row["function"], inputs.n_boot)
        for i, (_, row) in zip(best, tried.iterrows(), strict=True)
    ]
    q = stats.benjamini_hochberg(np.array([p for _, p in found]))
    for index, number, pair in zip(tried.index, q, found, strict=True):
        if number <= LEVEL:
            table.loc[index, ["recruited_by", "recruited_effect", "p_recruited"]] = ["louder", *pair]


def _recipe(method: Any, vlm: VLM) -> HeadRecipe | None:
    """The method as edits that can be left out head by head; None if it is something else."""
    make = getattr(method, "recipe", None)
    try:
        recipe = None if make is None else make(vlm)
    except HeadAtlasError:  # it cannot be kept
        return None
    return recipe if recipe is not None and recipe.edits and not recipe.low_rank else None


def acted_on(runner: Runner, recipe: HeadRecipe, heads: HeadSet) -> Pairs:
    """What acting on each head does, with the recipe's other heads in force and without them."""
    bare, full = answers(runner, [[], recipe.edits], recipe.scope)
    without = answers(runner, [_some(recipe, lambda h, out=head: h != out) for head in heads], recipe.scope)
    alone = answers(runner, [_some(recipe, lambda h, own=head: h == own) for head in heads], recipe.scope)
    return {head: [(w, full), (bare, a)] for head, w, a in zip(heads, without, alone, strict=True)}


def _some(recipe: HeadRecipe, keep: Callable[[Head], bool]) -> list[Any]:
    """The recipe's edits of some heads."""
    parts = [replace(edit, heads=HeadSet(filter(keep, edit.heads))) for edit in recipe.edits if isinstance(edit, Edit)]
    return [part for part in parts if part.heads]


def removed_under(inputs: LatentInputs, method: Method, heads: HeadSet) -> Pairs:
    """What removing each head does with the method in force: z is replaced by the mean that it has under the method."""
    questions = list(inputs.data.split("S"))
    with method.applied(inputs.vlm):
        means = mean_z(capture(inputs.vlm, list(inputs.data.split("P"))[:32], ("all",)), "P")
        full = evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)
        found: Pairs = {}
        for head in heads:
            with inputs.vlm.edit(ablate(HeadSet((head,)), "mean", means)):
                found[head] = [(evaluate(inputs.vlm, questions, batch_size=inputs.batch_size), full)]
    return found


def recruited(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], function: str, n_boot: int) -> tuple[float, float]:
    """The largest gain of the function's steps over pairs (nats), and one-sided p that none exceeds delta (Bonferroni over
    pairs); (NaN, 1) without pairs."""
    effects, p = [], []
    for without, with_it in pairs:
        values, scenes = lost(with_it, without, function)
        above = stats.cluster_bootstrap(values - DELTA["logprob"], scenes, n=n_boot)
        effects.append(float(values.mean()))
        p.append(above.p / 2 if above.value > 0 else 1 - above.p / 2)
    return (max(effects), min(1.0, len(p) * min(p))) if p else (float("nan"), 1.0)


def twin_scores(vlm: VLM, data: Any, tokens: str, n_null: int = 10, seed: int = 0, batch_size: int = 16) -> Scores:
    """Scores of the linear probe on the untrained twin: the same architecture, tokenizer and pictures, with new random
    weights."""
    acts = capture(untrained_twin(vlm, seed), [*data.split("P"), *data.split("S")], tokens, batch_size=batch_size)
    return linear(ScoringInputs(acts, tokens, data=data, n_null=n_null, seed=seed))
