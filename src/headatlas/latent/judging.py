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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.cogvsr.schema import Question
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention.effects import spatial
from headatlas.latent.method_tables import (
    Answered,
    MethodRun,
    controls_table,
    gains_table,
    methods_table,
    score_change,
    strengths_table,
)
from headatlas.latent.methods.base import METHODS, REFERENCE, Method, MethodInputs
from headatlas.printing import brief
from headatlas.vlm import evaluate
from headatlas.vlm.evaluate import unreadable
from headatlas.vlm.recipe import HeadRecipe

log = logging.getLogger("headatlas")


@dataclass(frozen=True, eq=False)
class Judged:
    """The result of `judge`.

    Attributes:
        tables: `methods`, `method_gains`, `method_controls` and `method_strengths`, as `headatlas.results` declares them.
        methods: the methods as fitted and tuned, by name.
        answers: answers tables of split E in gold context: "" for the unchanged model, and each method.
        recipes: head recipes of the methods that can be saved, with their rows of `methods` as evidence.
    """

    tables: dict[str, pd.DataFrame]
    methods: dict[str, Method]
    answers: dict[str, pd.DataFrame]
    recipes: dict[str, HeadRecipe]

    __repr__ = brief

    @property
    def helping(self) -> list[str]:
        """Names of the methods that help."""
        table = self.tables["methods"]
        return list(table.loc[table["helps"].astype(bool), "method"])


def judge(
    inputs: MethodInputs,
    names: Iterable[str],
    *,
    questions: Sequence[Question] | None = None,
    draws: int = 2,
    own_context: bool = True,
    n_boot: int = 10_000,
) -> Judged:
    """Fit every method on split P, tune it on split T, and evaluate it, with its controls, on split E.

    Args:
        inputs: model, data, activations and heads.
        names: registered methods.
        questions: questions to evaluate on, on which nothing was fitted or tuned (not checked); by default all of split E.
        draws: number of fits of each control, each with other random numbers.
        own_context: also let the model answer after its own earlier answers.
        n_boot: resamples of the intervals.

    Raises:
        HeadAtlasError: an unknown method, no split E, fewer than one draw, or no spatial step in one of the splits.
    """
    if draws < 1:
        raise HeadAtlasError(f"draws must be >= 1, got {draws}")
    if reason := without_spatial(inputs.data, ("P", "T")):
        raise HeadAtlasError(reason)
    makers = {name: METHODS[name] for name in names}
    questions = list(inputs.data.split("E")) if questions is None else list(questions)
    if not questions:
        raise HeadAtlasError("split 'E' has no question: build or load the dataset with that split")
    with inputs.vlm.reading_again():  # methods act behind the vision tower
        return _judged(replace(inputs, shared={}), makers, questions, draws, own_context, n_boot)


def _judged(
    inputs: MethodInputs,
    makers: Mapping[str, Callable[[], Method]],
    questions: Sequence[Question],
    draws: int,
    own_context: bool,
    n_boot: int,
) -> Judged:
    evaluate(inputs.vlm, questions, batch_size=inputs.batch_size)  # all pictures are seen before times are compared
    bare = _run(None, inputs, questions, own_context)
    if not spatial(bare.gold).any():
        raise HeadAtlasError("split 'E' has no spatial step to judge methods by")
    runs: dict[str, MethodRun] = {}
    controls: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for done, (name, make) in enumerate(makers.items()):
        inputs.report("activate", done, len(makers))
        fitted = _fitted(make(), inputs)
        if getattr(fitted, "reason", ""):  # it applies nothing
            runs[name] = bare.by(fitted)
            continue
        try:
            runs[name] = _run(fitted, inputs, questions, own_context).by(fitted)
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
        "method_gains": gains_table(bare, runs, n_boot),
        "method_controls": controls_table(bare.gold, runs, controls, n_boot),
        "method_strengths": strengths_table(runs),
    }
    tables["methods"] = methods_table(bare, runs, tables["method_controls"], n_boot)
    answers = {"": bare.gold, **{name: run.gold for name, run in runs.items()}}
    methods = {name: run.method for name, run in runs.items()}
    return Judged(tables, methods, answers, _recipes(inputs.vlm, methods, tables["methods"]))


def without_spatial(data: CogVSR, splits: Sequence[str] = ("P", "T", "E")) -> str:
    """Why methods cannot be judged on `data`: those of `splits` that have no spatial step; "" if each has one."""
    steps = data.steps()
    there = set(steps["split"][spatial(steps)])
    lacking = [split for split in splits if split not in there]
    if not lacking:
        return ""
    return (
        "methods are fitted, tuned and judged on spatial steps, in splits P, T and E; there is no spatial step in "
        f"{', '.join(lacking)}"
    )


def control_inputs(inputs: MethodInputs, fitted: Method, kind: str, draws: int) -> list[MethodInputs]:
    """The inputs from which a method is fitted as a control of itself, one for each draw."""
    fits = []
    for draw in range(1 if kind in REFERENCE or kind == "image_twice" else draws):
        some = replace(inputs, control=kind, seed=inputs.seed + 1000 * (draw + 1))
        if kind == "all_heads":
            every = inputs.vlm.heads.heads("L")
            some = replace(some, heads=dict.fromkeys(FUNCTIONS, every))
        elif kind == "random_heads":
            chosen = HeadSet(getattr(fitted, "heads", ()))
            other = matched_heads(chosen, inputs.vlm.heads.shape, np.random.default_rng([some.seed, 7]))
            some = replace(some, heads=dict.fromkeys(SPATIAL, other))
        fits.append(some)
    return fits


def matched_heads(chosen: HeadSet, shape: tuple[int, int], rng: np.random.Generator) -> HeadSet:
    """As many random heads outside `chosen`: each from the same layer, or from the nearest layer that has heads left.

    Fewer if more than half of all heads are chosen.
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


class _Refused(Exception):
    """The model's processor refuses some questions as the method shows them; the text says why."""


def _control(method: Method, inputs: MethodInputs, questions: Sequence[Any], bare: Answered) -> pd.DataFrame:
    """Answers of split E with a control in force; the unchanged model's where it applies nothing."""
    fitted = _fitted(method, inputs)
    return bare.gold if getattr(fitted, "reason", "") else _run(fitted, inputs, questions, False).gold


def _fitted(method: Method, inputs: MethodInputs) -> Method:
    method.fit(inputs)
    method.tune(inputs)
    return method


def _run(method: Method | None, inputs: MethodInputs, questions: Sequence[Any], own_context: bool) -> Answered:
    """Answer split E with a method, or with the unchanged model."""
    vlm, own = inputs.vlm, None
    on_cuda = vlm.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(vlm.device)
    with vlm.edit() if method is None else method.applied(vlm) as arm:
        arm = None if arm is vlm else arm
        if arm is not None and (refused := unreadable(vlm, questions, arm)):
            raise _Refused(next(iter(refused.values())))
        start = time.perf_counter()
        gold = evaluate(vlm, questions, batch_size=inputs.batch_size, arm=arm)
        seconds = time.perf_counter() - start
        memory = float(torch.cuda.max_memory_allocated(vlm.device)) if on_cuda else float("nan")
        if own_context:
            own = evaluate(vlm, questions, mode="generate", context="own", batch_size=inputs.batch_size, arm=arm)
    return Answered(gold, own, seconds, memory)


def _recipes(vlm: Any, methods: dict[str, Method], table: pd.DataFrame) -> dict[str, HeadRecipe]:
    recipes = {}
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
        except HeadAtlasError:  # changes nothing, or has no recipe
            continue
        rows = [
            {key: _plain(value) for key, value in row.items()}
            for row in table.loc[table["method"] == name, columns].to_dict("records")
        ]
        recipes[name] = replace(recipe, evidence=tuple(rows))
    return recipes


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
