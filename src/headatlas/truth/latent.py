"""Latent worlds: models some of whose heads were made too faint to matter, and how well latent heads are found in them.

The columns of the output projection that belong to some heads are multiplied by a small factor (`surgery.scale_output`). What
these heads compute is unchanged; the rest of the model barely receives it; a gain of 1 / factor restores the original exactly.

Which heads are true is measured, on separate scenes, part by part of the definition. A faint head is a latent head of a spatial
function if

* the function can be read from it, above the probe's null and above every head of the untrained twin;
* restoring it makes the function's answers likelier by more than `DELTA`: with all other faint heads restored (*last*), or with
  none (*first*; heads that stand in for each other); and
* as it is, it has no effect: removing it, alone and with the other faint heads of which that is true, changes the answers by less
  than `DELTA` (equivalence test).

A faint head that matters when it is restored, but matters already or cannot be read, is *weak*.

Faint heads for which one of these is not shown count neither as right nor as wrong. With the factor 0 nothing can be restored, so
no head is true (distractors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas import stats
from headatlas.activations import capture
from headatlas.answers.metrics import scenes_of
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, Heads, HeadSet, as_heads, scale
from headatlas.intervention import Condition, Runner, mean_z
from headatlas.intervention.operations import ablate
from headatlas.latent import METHODS, LatentInputs, MethodInputs, latent_table, twin_scores
from headatlas.latent.idle import DELTA as NO_EFFECT
from headatlas.latent.idle import LEVEL, decodable_mask
from headatlas.latent.removable import added_loss, removable_group
from headatlas.progress import Progress
from headatlas.scenes.build import build
from headatlas.scoring import ScoringInputs, get_scorer
from headatlas.scoring.base import labels_of
from headatlas.truth.world import load_world
from headatlas.vlm import VLM, evaluate, load_vlm
from headatlas.vlm.surgery import scale_output

DELTA = NO_EFFECT["logprob"]
"""Effects up to this much (nats) count as none."""
GENERAL = 5
"""A head that this many of the eight functions need is general, and no layout draws it: without it the model is broken."""
DRAWN = 4
"""The most heads of a layout."""
TRUTH_SEED, GRADED_SEED = 51_000, 52_000
"""First seeds of the scenes that truth is measured on, and of those that the finder gets."""


@dataclass(frozen=True, eq=False)
class LatentWorld:
    """A model after surgery, with the truth.

    Attributes:
        name: of the world.
        vlm: the model with faint heads.
        heads: the faint heads.
        factor: what their output was multiplied by.
        truth: latent heads of each function, [F, L, H].
        effect: the larger of both effects of restoring each head, nats, [F, L, H]; NaN where the head is not faint.
        restorable: faint heads whose restoration makes the function's answers likelier, [F, L, H]; `truth` is those of them that
            have no effect as they are and from which the function can be read.
        accuracy: of each spatial function, (with faint heads, restored), 0..1.
    """

    name: str
    vlm: VLM
    heads: HeadSet
    factor: float
    truth: Bool[np.ndarray, "F L H"]
    effect: Float[np.ndarray, "F L H"]
    accuracy: dict[str, tuple[float, float]]
    restorable: Bool[np.ndarray, "F L H"] | None = None

    def __repr__(self) -> str:
        lines = [f"LatentWorld {self.name}: {self.heads} times {self.factor:g}"]
        for function, (faint, restored) in self.accuracy.items():
            own = HeadSet.from_mask(self.truth[FUNCTIONS.index(function)])
            lines.append(f"  {function}: accuracy {faint:.2f}, restored {restored:.2f}; latent: {own or 'none'}")
        return "\n".join(lines)


def parse_latent(text: str) -> tuple[str, int, float]:
    """(model, layout, factor) of a text such as "ref-gemma:1:0.1".

    Raises:
        HeadAtlasError: it is of another form.
    """
    model, layout, factor = [*text.rsplit(":", 2), "", ""][:3]
    try:
        return model, int(layout), float(factor)
    except ValueError as error:
        raise HeadAtlasError(
            f"a latent world must be MODEL:LAYOUT:FACTOR, such as ref-gemma:1:0.1; got {text!r}"
        ) from error


def latent_world(
    model: str, layout: int = 0, factor: float = 0.05, heads: Heads | None = None, n: int = 100, seed: int = 0
) -> LatentWorld:
    """Make a latent world of a model, and measure its truth.

    Args:
        model: shipped name of a model or planted world, a folder or a Hugging Face id.
        layout: seed by which the heads are drawn among those that a spatial function needs (`needed_heads`).
        factor: 0 to 0.5.
        heads: the heads, instead of drawing them.
        n: questions that heads are drawn and effects are measured on; what heads can be read is measured on four times as many.
        seed: of their scenes.

    Raises:
        HeadAtlasError: a factor out of range, or no head that can be drawn.
    """
    if not 0 <= factor <= 0.5:
        raise HeadAtlasError(f"factor must be from 0 to 0.5, got {factor}")
    vlm = _model(model)
    data = CogVSR.from_questions(build(n, TRUTH_SEED + seed, splits=("S",)))
    runner = Runner(vlm, data)
    chosen = draw(needed_heads(runner, vlm.heads.shape, factor), layout) if heads is None else as_heads(heads)
    if not chosen:
        raise HeadAtlasError(f"{model} has no head that a spatial function needs and that is not general; give heads=")
    runner = Runner(vlm, data)
    restored = runner.baseline("S")
    effect = np.full((len(FUNCTIONS), *vlm.heads.shape), np.nan)
    truth = np.zeros(effect.shape, bool)
    faint = _answers(runner, [[scale(chosen, factor)]])[0]
    if factor:
        others = [HeadSet(h for h in chosen if h != head) for head in chosen]
        last = _answers(runner, [[scale(HeadSet((head,)), factor)] for head in chosen])
        first = _answers(runner, [[scale(rest, factor)] if rest else [] for rest in others])
        for head, without, with_it in zip(chosen, last, first, strict=True):
            for c, function in enumerate(FUNCTIONS):
                if function in SPATIAL:
                    pairs = [_gain(without, restored, c), _gain(faint, with_it, c)]
                    effect[c, head.layer, head.head] = max(mean for mean, _ in pairs)
                    truth[c, head.layer, head.head] = any(low > DELTA for _, low in pairs)
    scale_output(vlm, chosen, factor)
    restorable = truth
    if factor:
        truth = restorable & idle_heads(vlm, data, chosen, seed)
        if truth.any():
            truth &= readable_heads(vlm, 4 * n, seed)
    after = evaluate(vlm, list(data.split("S")))
    worst = float(((after["logprob"] - faint["logprob"]).abs() / (1 + faint["logprob"].abs())).max())
    if worst > 1e-2:
        raise HeadAtlasError(f"surgery on {model} is not what scaling z does (log-probabilities differ by {worst:.1%})")
    accuracy = {
        function: (_accuracy(after, c), _accuracy(restored, c))
        for c, function in enumerate(FUNCTIONS)
        if function in SPATIAL
    }
    vlm.name = f"{model} with faint heads"
    how = f"layout {layout}" if heads is None else "given heads"
    return LatentWorld(f"{model}, {how}, x {factor:g}", vlm, chosen, factor, truth, effect, accuracy, restorable)


def _model(name: str) -> VLM:
    from headatlas import shipped

    return load_vlm(str(load_world(name).path) if name in shipped.worlds() else name)


def needed_heads(runner: Runner, shape: tuple[int, int], factor: float) -> Bool[np.ndarray, "L H"]:
    """Heads without which a spatial function's answers are less likely (lower bound above `DELTA`), and which are not general."""
    every = [Head(layer, head) for layer in range(shape[0]) for head in range(shape[1])]
    before = runner.baseline("S")
    needed = np.zeros((len(FUNCTIONS), *shape), bool)
    for head, after in zip(every, _answers(runner, [[scale(HeadSet((h,)), factor)] for h in every]), strict=True):
        for c in range(len(FUNCTIONS)):
            needed[c, head.layer, head.head] = _gain(after, before, c)[1] > DELTA
    spatial = needed[[FUNCTIONS.index(function) for function in SPATIAL]].any(0)
    return spatial & (needed.sum(0) < GENERAL)


def idle_heads(vlm: VLM, data: CogVSR, heads: HeadSet, seed: int = 0) -> Bool[np.ndarray, "F L H"]:
    """Those of `heads` that can be removed, alone and together, without effect on a spatial function's answers of split S."""
    acts = capture(vlm, list(build(60, TRUTH_SEED + 500 + seed, splits=("P",))), ("all",))
    runner, means = Runner(vlm, data), mean_z(acts, "P")
    before = runner.baseline("S")

    def without(removed: HeadSet) -> pd.DataFrame:
        return _answers(runner, [[ablate(removed, "mean", means)]])[0] if removed else before

    idle = np.zeros((len(FUNCTIONS), *vlm.heads.shape), bool)
    for function in SPATIAL:
        if not labels_of(before)[:, FUNCTIONS.index(function)].any():
            continue
        alone = {head: added_loss(without, [head], (), function, DELTA) for head in heads}
        able = sorted((h for h in heads if alone[h][1] < LEVEL), key=lambda head: abs(alone[head][0]))
        group = removable_group(able, without, function, DELTA)
        for head in able:
            if added_loss(without, [head], group, function, DELTA)[1] < LEVEL:
                idle[FUNCTIONS.index(function), head.layer, head.head] = True
    return idle


def readable_heads(vlm: VLM, n: int, seed: int = 0) -> Bool[np.ndarray, "F L H"]:
    """Heads from which a spatial function is read above the null and above every head of the untrained twin, on `n` questions."""
    data = CogVSR.from_questions(build(n, TRUTH_SEED + 700 + seed, splits=("P", "S")))
    scores = get_scorer("linear")(ScoringInputs(capture(vlm, data, ("predict",)), "predict", data=data, seed=seed))
    twin = twin_scores(vlm, data, "predict", seed=seed)
    readable = np.zeros(scores.values.shape, bool)
    for function in SPATIAL:
        c = FUNCTIONS.index(function)
        readable[c] = decodable_mask(scores, function) & (scores.values[c] > twin.values[c].max())
    return readable


def draw(needed: Bool[np.ndarray, "L H"], layout: int) -> HeadSet:
    """At most `DRAWN` of the heads, drawn by the layout's seed."""
    heads = list(HeadSet.from_mask(needed))
    order = np.random.default_rng([layout, 17]).permutation(len(heads))
    return HeadSet(sorted(heads[i] for i in order[:DRAWN]))


def _answers(runner: Runner, edits: Sequence[Sequence[Any]]) -> list[pd.DataFrame]:
    return list(runner.run_many([Condition(f"faint {i}", tuple(e)) for i, e in enumerate(edits)], "S"))


def _gain(before: pd.DataFrame, after: pd.DataFrame, c: int) -> tuple[float, float]:
    """Mean rise of the log-probability of function c's answers, and the lower bound of its 95 % interval over scenes."""
    rows = labels_of(before)[:, c]
    if not rows.any():
        return float("nan"), float("nan")
    values = (after["logprob"] - before["logprob"]).to_numpy(float)[rows]
    found = stats.cluster_bootstrap(values, scenes_of(before)[rows], n=2_000)
    return found.value, found.low


def _accuracy(table: pd.DataFrame, c: int) -> float:
    rows = labels_of(table)[:, c]
    return float(table["correct"].to_numpy(float)[rows].mean()) if rows.any() else float("nan")


def find_latent(
    world: LatentWorld,
    methods: Sequence[str] = ("gain",),
    n: int = 240,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Look for latent heads as a study does, on scenes of their own: rows of results/latent.csv.

    Args:
        world: whose model is looked at.
        methods: fitted on split P and tuned on split T; they may recruit heads.
        n: questions.
        seed: of scenes and random draws.
        progress: see `headatlas.progress`.
    """
    vlm, data = world.vlm, CogVSR.from_questions(build(n, GRADED_SEED + seed, splits=("P", "S", "T")))
    acts = capture(vlm, [*data.split("P"), *data.split("S")], ("predict", "all"))
    inputs = ScoringInputs(acts, "predict", vlm=vlm, data=data, seed=seed, progress=progress)
    decodable, effect = get_scorer("linear")(inputs), get_scorer("ablation")(inputs)
    fitting = MethodInputs(vlm, data, acts, {}, seed, progress=progress)
    fitted = {}
    for name in methods:
        fitted[name] = METHODS[name]()
        fitted[name].fit(fitting)
        fitted[name].tune(fitting)
    twin = twin_scores(vlm, data, "predict", seed=seed)
    return latent_table(LatentInputs(vlm, data, decodable, effect, mean_z(acts, "P"), fitted, twin))


COLUMNS = ("world", "factor", "function", "faint", "weak", "true", "found", "hits", "false", "before", "restored")


def grade_latent(world: LatentWorld, table: pd.DataFrame) -> pd.DataFrame:
    """What was found against the truth.

    Args:
        world: with the truth.
        table: rows of results/latent.csv.

    Returns:
        One row per spatial function: world, factor, function, faint (the faint heads), weak (whose restoration matters, but which
        are not shown to be readable and without effect as they are; they count neither way), true (those that are latent heads of
        the function), found, `hits` (found and true), `false` (found and not faint; with factor 0 all found), `before` and
        `restored` (accuracy).
    """
    faint, rows = world.heads.mask(world.vlm.heads.shape), []
    for function in SPATIAL:
        c = FUNCTIONS.index(function)
        some = table[(table["function"] == function) & table["latent"].astype(bool)]
        found = np.zeros(faint.shape, bool)
        found[some["layer"].to_numpy(int), some["head"].to_numpy(int)] = True
        wrong = found if not world.factor else found & ~faint
        weak = np.zeros_like(faint) if world.restorable is None else world.restorable[c] & ~world.truth[c]
        rows.append((
            world.name, world.factor, function, str(world.heads), str(HeadSet.from_mask(weak)),
            str(HeadSet.from_mask(world.truth[c])),
            str(HeadSet.from_mask(found)), int((found & world.truth[c]).sum()), int(wrong.sum()), *world.accuracy[function],
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def latent_rates(grades: pd.DataFrame) -> dict[str, float]:
    """`recall` (hits / true heads) and `false_discoveries` (false / found), over all rows; NaN where there are none."""
    true = sum(len(HeadSet(text)) for text in grades["true"])
    found = sum(len(HeadSet(text)) for text in grades["found"])
    return {
        "recall": float(grades["hits"].sum()) / true if true else float("nan"),
        "false_discoveries": float(grades["false"].sum()) / found if found else float("nan"),
    }
