"""Judge activation methods on split E: what each gains, against its own controls, and whether it helps.

A method *helps* if the 95 % interval of its gain in spatial score excludes 0, its clustered McNemar test holds after
Benjamini-Hochberg over the methods, and it gains more than each of its controls: the paired difference from the
control's mean over draws is positive, at a level corrected over all methods and controls. Everything is paired by
step; scenes are resampled.

Controls are fitted and tuned as the method is. They are run only for methods that gain on split E: no other can help.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import torch
from jaxtyping import Bool

from headatlas import stats
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention.effects import check_paired, final, of_function, spatial
from headatlas.latent.methods.base import METHODS, REFERENCE, Method, MethodInputs
from headatlas.results import RESULTS
from headatlas.stats import Estimate
from headatlas.vlm import evaluate
from headatlas.vlm.evaluate import unreadable
from headatlas.vlm.recipe import HeadRecipe

log = logging.getLogger("headatlas")

LEVEL = 0.05

OFF_TASK = "off_task"
"""The group of all steps that are not spatial."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What `judge` found.

    Attributes:
        tables: `methods`, `method_gains`, `method_controls` and `method_strengths`, as `headatlas.results` declares them.
        methods: the methods as fitted and tuned, by name.
        answers: answers tables of split E in gold context: "" for the unchanged model, and each method.
        recipes: of the methods that can be kept, with their rows of `methods` as evidence.
    """

    tables: dict[str, pd.DataFrame]
    methods: dict[str, Method]
    answers: dict[str, pd.DataFrame]
    recipes: dict[str, HeadRecipe]

    @property
    def helping(self) -> list[str]:
        """Names of the methods that help."""
        table = self.tables["methods"]
        return list(table.loc[table["helps"].astype(bool), "method"])


@dataclass(frozen=True, eq=False)
class _Run:
    method: Method
    gold: pd.DataFrame
    own: pd.DataFrame | None
    seconds: float
    memory: float


def judge(
    inputs: MethodInputs, names: Iterable[str], *, draws: int = 2, own_context: bool = True, n_boot: int = 10_000
) -> Judged:
    """Fit every method on split P, tune it on split T, and evaluate it, with its controls, on split E.

    Args:
        inputs: model, data, activations and heads.
        names: registered methods.
        draws: fits of each control with other random numbers.
        own_context: also let the model answer after its own earlier answers.
        n_boot: resamples of the intervals.

    Raises:
        HeadAtlasError: an unknown method, no split E, or fewer than one draw.
    """
    if draws < 1:
        raise HeadAtlasError(f"draws must be >= 1, got {draws}")
    makers = {name: METHODS[name] for name in names}
    questions = list(inputs.data.split("E"))
    if not questions:
        raise HeadAtlasError("split 'E' has no question: build or load the dataset with that split")
    bare = _run(_Nothing(), inputs, questions, own_context)
    if not spatial(bare.gold).any():
        raise HeadAtlasError("split 'E' has no spatial step to judge methods by")
    runs: dict[str, _Run] = {}
    controls: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for done, (name, make) in enumerate(makers.items()):
        inputs.report("activate", done, len(makers))
        fitted = _fitted(make(), inputs)
        if getattr(fitted, "reason", ""):  # it applies nothing
            runs[name] = replace(bare, method=fitted)
            continue
        try:
            runs[name] = _run(fitted, inputs, questions, own_context)
        except _Refused as error:
            log.warning("method %r is left out: with it %s", name, error)
            continue
        if score_change(bare.gold, runs[name].gold, n_boot=100).value <= 0:
            continue
        for kind in fitted.controls:
            controls[name, kind] = [
                _control(make(), some, questions, bare) for some in control_inputs(inputs, fitted, kind, draws)
            ]
    inputs.report("activate", len(makers), len(makers))
    tables = {
        "method_gains": _gains(bare, runs, n_boot),
        "method_controls": _controls(bare.gold, runs, controls, n_boot),
        "method_strengths": _strengths(runs),
    }
    tables["methods"] = _summary(bare, runs, tables["method_controls"], n_boot)
    answers = {"": bare.gold, **{name: run.gold for name, run in runs.items()}}
    methods = {name: run.method for name, run in runs.items()}
    return Judged(tables, methods, answers, _recipes(inputs.vlm, methods, tables["methods"]))


def control_inputs(inputs: MethodInputs, fitted: Method, kind: str, draws: int) -> list[MethodInputs]:
    """The inputs from which a method is fitted as a control of itself, one for each draw."""
    made = []
    for draw in range(1 if kind in REFERENCE or kind == "image_twice" else draws):
        some = replace(inputs, control=kind, seed=inputs.seed + 1000 * (draw + 1))
        if kind == "all_heads":
            every = inputs.vlm.heads.heads("L")
            some = replace(some, heads=dict.fromkeys(FUNCTIONS, every))
        elif kind == "random_heads":
            chosen = HeadSet(getattr(fitted, "heads", ()))
            other = matched_heads(chosen, inputs.vlm.heads.shape, np.random.default_rng([some.seed, 7]))
            some = replace(some, heads=dict.fromkeys(SPATIAL, other))
        made.append(some)
    return made


def matched_heads(chosen: HeadSet, shape: tuple[int, int], rng: np.random.Generator) -> HeadSet:
    """As many random heads, none of them chosen: of the same layer where it has others, else of the nearest layer that has.

    Fewer where fewer than half of all heads are left.
    """
    free = [
        Head(layer, head) for layer in range(shape[0]) for head in range(shape[1]) if Head(layer, head) not in chosen
    ]
    drawn: list[Head] = []
    for head in chosen:
        if not free:
            break
        nearest = min(abs(other.layer - head.layer) for other in free)
        among = [i for i, other in enumerate(free) if abs(other.layer - head.layer) == nearest]
        drawn.append(free.pop(int(rng.choice(among))))
    return HeadSet(drawn)


def score_change(
    before: pd.DataFrame, after: pd.DataFrame, rows: Bool[np.ndarray, " N"] | None = None, n_boot: int = 10_000
) -> Estimate:
    """The paired change of accuracy with its interval and p; without `rows` that of the spatial score: the mean of both spatial
    functions' accuracies. Scenes are resampled."""
    check_paired(before, after)
    difference = after["correct"].to_numpy(float) - before["correct"].to_numpy(float)
    scene = before["scene"].to_numpy()
    if rows is not None:
        return stats.cluster_bootstrap(difference[rows], scene[rows], n=n_boot)
    on = spatial(before)
    return stats.bootstrap_groups(difference[on], before["function"].to_numpy()[on], scene[on], n=n_boot)


def clustered_mcnemar(before: pd.DataFrame, after: pd.DataFrame, rows: Bool[np.ndarray, " N"]) -> float:
    """Two-sided p that as many steps become right as become wrong, scenes being independent (Durkalski et al. 2003): each scene
    gives (won - lost) / its steps. 1 where nothing changed."""
    check_paired(before, after)
    difference = (after["correct"].to_numpy(float) - before["correct"].to_numpy(float))[rows]
    by_scene = pd.Series(difference).groupby(before["scene"].to_numpy()[rows]).mean().to_numpy()
    spread = float((by_scene**2).sum())
    return float(scipy.stats.chi2.sf(by_scene.sum() ** 2 / spread, 1)) if spread else 1.0


class _Refused(Exception):
    """With a method the model's processor refuses some questions; the text says why."""


class _Nothing:
    """The unchanged model as a method."""

    name, controls, cost = "", (), None

    def applied(self, vlm: Any) -> Any:
        return vlm.edit()


def _control(method: Method, inputs: MethodInputs, questions: Sequence[Any], bare: _Run) -> pd.DataFrame:
    """Answers of split E with a control in force; the unchanged model's where it applies nothing."""
    fitted = _fitted(method, inputs)
    return bare.gold if getattr(fitted, "reason", "") else _run(fitted, inputs, questions, False).gold


def _fitted(method: Method, inputs: MethodInputs) -> Method:
    method.fit(inputs)
    method.tune(inputs)
    return method


def _run(method: Any, inputs: MethodInputs, questions: Sequence[Any], own_context: bool) -> _Run:
    vlm, own = inputs.vlm, None
    on_cuda = vlm.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(vlm.device)
    with method.applied(vlm) as arm:
        arm = None if arm is vlm else arm
        if arm is not None and (refused := unreadable(vlm, questions, arm)):
            raise _Refused(next(iter(refused.values())))
        start = time.perf_counter()
        gold = evaluate(vlm, questions, batch_size=inputs.batch_size, arm=arm)
        seconds = time.perf_counter() - start
        memory = float(torch.cuda.max_memory_allocated(vlm.device)) if on_cuda else float("nan")
        if own_context:
            own = evaluate(vlm, questions, mode="generate", context="own", batch_size=inputs.batch_size, arm=arm)
    return _Run(method, gold, own, seconds, memory)


def groups_of(table: pd.DataFrame) -> dict[str, Bool[np.ndarray, " N"] | None]:
    """Groups of steps by name: `spatial` (None: the spatial score), the eight functions, `final`, `off_task`, and each question
    type as `type:NAME`; only those that have steps."""
    every = {function: of_function(table, function) for function in FUNCTIONS}
    every |= {"final": final(table), OFF_TASK: ~spatial(table)}
    every |= {
        f"type:{name}": (table["family"] == name).to_numpy(bool) for name in sorted(set(table["family"].dropna()))
    }
    return {"spatial": None, **{name: rows for name, rows in every.items() if rows.any()}}


def _gains(bare: _Run, runs: dict[str, _Run], n_boot: int) -> pd.DataFrame:
    rows = []
    for name, run in runs.items():
        for context, before, after in (("gold", bare.gold, run.gold), ("own", bare.own, run.own)):
            if before is None or after is None:
                continue
            for group, some in groups_of(before).items():
                on = spatial(before) if some is None else some
                found = score_change(before, after, some, n_boot)
                was = _level(before, some)
                rows.append(
                    {
                        "method": name, "context": context, "group": group, "before": was, "after": was + found.value,
                        "gain": found.value, "low": found.low, "high": found.high, "p": clustered_mcnemar(before, after, on),
                        "unparsable_before": float(before["unparsable"].to_numpy(float)[on].mean()),
                        "unparsable_after": float(after["unparsable"].to_numpy(float)[on].mean()), "n": int(on.sum()),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RESULTS["method_gains"].names))


def _level(table: pd.DataFrame, rows: Bool[np.ndarray, " N"] | None) -> float:
    right = table["correct"].to_numpy(float)
    if rows is not None:
        return float(right[rows].mean())
    return float(np.mean([right[of_function(table, f)].mean() for f in SPATIAL if of_function(table, f).any()]))


def _controls(
    bare: pd.DataFrame, runs: dict[str, _Run], controls: dict[tuple[str, str], list[pd.DataFrame]], n_boot: int
) -> pd.DataFrame:
    rows = []
    for (name, kind), drawn in controls.items():
        # Draws are averaged step by step, so that their number does not make the control more certain than its scenes.
        average = bare.assign(correct=np.mean([table["correct"].to_numpy(float) for table in drawn], axis=0))
        beyond = score_change(average, runs[name].gold, n_boot=n_boot)
        rows.append(
            {
                "method": name, "control": kind, "draws": len(drawn), "gain": score_change(bare, average, n_boot=100).value,
                "beyond": beyond.value, "low": beyond.low, "high": beyond.high, "p": beyond.p,
                "required": kind not in REFERENCE,
            }
        )  # fmt: skip
    table = pd.DataFrame(
        rows, columns=[name for name in RESULTS["method_controls"].names if name not in ("q", "beaten")]
    )
    required = table["required"].astype(bool).to_numpy()
    q = np.full(len(table), np.nan)
    if required.any():
        q[required] = stats.benjamini_hochberg(table["p"].to_numpy(float)[required])
    table["q"] = q
    table["beaten"] = (table["low"].to_numpy(float) > 0) & (np.nan_to_num(q, nan=0.0) <= LEVEL)
    return table[list(RESULTS["method_controls"].names)]


def _strengths(runs: dict[str, _Run]) -> pd.DataFrame:
    columns = ("value", "accuracy", "logprob", "off_task", "unparsable", "chosen")
    rows = [
        {"method": name} | {column: getattr(one, column) for column in columns}
        for name, run in runs.items()
        for one in getattr(run.method, "strengths", ())
    ]
    table = pd.DataFrame(rows, columns=list(RESULTS["method_strengths"].names))
    return table.drop_duplicates(["method", "value"])


def _summary(bare: _Run, runs: dict[str, _Run], controls: pd.DataFrame, n_boot: int) -> pd.DataFrame:
    rows, on = [], spatial(bare.gold)
    for name, run in runs.items():
        gain, off = score_change(bare.gold, run.gold, n_boot=n_boot), score_change(bare.gold, run.gold, ~on, n_boot)
        cost, heads = run.method.cost, HeadSet(getattr(run.method, "heads", ()))
        own: Estimate = Estimate(np.nan, np.nan, np.nan, 0)
        last = own
        if bare.own is not None and run.own is not None:
            own = score_change(bare.own, run.own, n_boot=n_boot)
            last = score_change(bare.own, run.own, final(bare.own), n_boot)
        rows.append(
            {
                "method": name, "before": 100 * _level(bare.gold, None), "after": 100 * _level(run.gold, None),
                **_points("", gain), "p": clustered_mcnemar(bare.gold, run.gold, on), **_points("own_", own),
                **_points("final_", last), **_points("off_task_", off),
                "unparsable_before": float(bare.gold["unparsable"].mean()),
                "unparsable_after": float(run.gold["unparsable"].mean()), "n": int(on.sum()), "n_heads": len(heads),
                "heads": str(heads) if len(heads) < on.size and len(heads) <= 64 else "", "parameters": cost.parameters,
                "images": cost.images, "time": run.seconds / bare.seconds, "memory": (run.memory - bare.memory) / 1e6,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    if table.empty:
        return RESULTS["methods"].empty()
    table["q"] = stats.benjamini_hochberg(table["p"].to_numpy(float))
    verdicts = [_verdict(row, runs[str(row["method"])].method, controls) for _, row in table.iterrows()]
    table["helps"], table["reason"] = [not reason for reason in verdicts], verdicts
    return table[list(RESULTS["methods"].names)]


def _points(prefix: str, found: Estimate) -> dict[str, float]:
    return {f"{prefix}gain": 100 * found.value, f"{prefix}low": 100 * found.low, f"{prefix}high": 100 * found.high}


def _verdict(row: pd.Series, method: Method, controls: pd.DataFrame) -> str:
    """Why the method does not help; "" if it does."""
    nothing = getattr(method, "reason", "")
    if nothing:
        return nothing
    if not row["low"] > 0:
        return f"the interval of its gain includes 0 ({row['low']:.1f} to {row['high']:.1f} points)"
    if not row["q"] <= LEVEL:
        return f"its gain does not hold after correction over methods (q = {row['q']:.3f})"
    mine = controls[(controls["method"] == row["method"]) & controls["required"].astype(bool)]
    if mine.empty:
        return "it has no control to be compared with"
    lost = mine[~mine["beaten"].astype(bool)]
    return "; ".join(
        f"{one['control']} gains {100 * one['gain']:.1f} points, it gains {100 * one['beyond']:.1f} more "
        f"({100 * one['low']:.1f} to {100 * one['high']:.1f})"
        for _, one in lost.iterrows()
    )


def _recipes(vlm: Any, methods: dict[str, Method], table: pd.DataFrame) -> dict[str, HeadRecipe]:
    made = {}
    columns = [
        "method",
        "before",
        "after",
        "gain",
        "low",
        "high",
        "p",
        "own_gain",
        "off_task_gain",
        "unparsable_after",
        "helps",
    ]
    for name, method in methods.items():
        make = getattr(method, "recipe", None)
        if make is None or getattr(method, "reason", ""):
            continue
        try:
            recipe: HeadRecipe = make(vlm)
        except HeadAtlasError:  # changes nothing, or cannot be kept
            continue
        rows = [
            {key: _plain(value) for key, value in row.items()}
            for row in table.loc[table["method"] == name, columns].to_dict("records")
        ]
        made[name] = replace(recipe, evidence=tuple(rows))
    return made


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
