"""Stage `towers`: ablate each head of the other towers alone and, for comparison, each head of the language model.

Heads are scored by specific ablation and selected on split S by the study's selector. Those selected are ablated together on
split E, beside random sets of the same tower. Heads of the vision tower and of connectors are ablated at all positions of all
pictures; one full pass per head, because what they change lies below the language model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from headatlas.activations import capture
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, Tower
from headatlas.intervention import Runner, mean_z, negative, random_sets
from headatlas.intervention.operations import Means
from headatlas.results import RESULTS
from headatlas.scoring import SELECTORS, Scores
from headatlas.scoring.ablation import SingleHeadDamage, single_head_damage
from headatlas.scoring.base import labels_of
from headatlas.scoring.select import select
from headatlas.scoring.specificity import LEAST, contrast
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

N_RANDOM = 39
"""Random sets of a tower's heads that the selected ones are compared with, at most."""


@stage(
    "towers",
    command="report",
    needs=("data", "capture"),
    uses=lambda study: codes(SELECTORS, [study.settings.selector]) if study.settings.towers != ("L",) else None,
)
def run(study: Study) -> None:
    """Write results/towers.csv and tower_sets.csv."""
    single, sets = [], []
    towers = study.vlm.heads.towers_named(study.settings.towers)
    if towers != ("L",):
        for tower in towers:
            scored, found = _scored(study, tower)
            single.append(scored)
            sets += found
    write = study.run.write_table
    write("towers", pd.concat(single, ignore_index=True) if single else RESULTS["towers"].empty())
    write("tower_sets", pd.DataFrame(sets) if sets else RESULTS["tower_sets"].empty())


def _scored(study: Study, tower: Tower) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    settings, runner = study.settings, study.runner()
    grid = study.vlm.heads
    every = grid.heads(tower)
    means = None
    if settings.operation == "mean":
        means = study.means if tower == "L" else _means(study, tower)
    shape = grid.padded(tower)[:2]

    def report(_: str, done: int, total: int) -> None:
        study.report(f"heads of tower {tower}", done, total)

    damage = single_head_damage(runner, shape, settings.operation, means, "S", "all", report, every)
    scores = replace(contrast(damage, None, settings.seed, least=LEAST), tower=tower)
    chosen = {function: _selected(scores, function, settings.selector, set(every)) for function in FUNCTIONS}
    functional = {head for heads in chosen.values() for head in heads}
    sets = [_joint(study, runner, tower, function, heads, functional, means) for function, heads in chosen.items()]
    return head_rows(tower, every, damage, scores, chosen, settings.seed), sets


def _means(study: Study, tower: Tower) -> Means:
    """Mean z over split P, which is captured in a temporary folder."""
    acts = capture(study.vlm, study.data.split("P"), "all", tower=tower, batch_size=study.settings.batch_size)
    return mean_z(acts, "P")


def _selected(scores: Scores, function: str, selector: str, every: set[Head]) -> HeadSet:
    """The heads that the selector chooses, best first; in towers of unequal layers only those that there are."""
    found = select(scores, function, selector)
    return HeadSet([head for head in found if head in every], reason=found.reason)


def head_rows(
    tower: Tower, every: HeadSet, damage: SingleHeadDamage, scores: Scores, chosen: dict[str, HeadSet], seed: int
) -> pd.DataFrame:
    """Rows of results/towers.csv."""
    labels = labels_of(damage.steps)
    rows: list[dict[str, Any]] = []
    for c, function in enumerate(FUNCTIONS):
        of = labels[:, c]
        if not of.any():
            continue
        loss = damage.logprob[of].mean(0, dtype=np.float64)
        low, high = damage.intervals(of, seed=seed)
        selected = set(chosen[function])
        for head in every:
            at = head.layer, head.head
            p = np.nan if scores.pvalues is None else scores.pvalues[(c, *at)]
            rows.append(
                {"tower": tower, "function": function, "layer": head.layer, "head": head.head, "loss": loss[at], "low": low[at],
                 "high": high[at], "specific": scores.values[(c, *at)], "p": p, "selected": head in selected, "n": int(of.sum())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _joint(
    study: Study,
    runner: Runner,
    tower: Tower,
    function: str,
    selected: HeadSet,
    functional: set[Head],
    means: np.ndarray | None,
) -> dict[str, Any]:
    """A row of results/tower_sets.csv."""
    settings, grid = study.settings, study.vlm.heads
    most = max(1, round(settings.head_share * len(grid.heads(tower))))
    heads = HeadSet(list(selected)[:most])
    controls: list[HeadSet] = []
    try:
        shape = grid.dims(tower)[:2]
    except HeadAtlasError:  # layers differ: there is no grid to draw from
        shape = None
    if heads and shape is not None and function in SPATIAL:  # each random set costs a pass
        controls = random_sets(
            heads, shape, min(N_RANDOM, settings.n_random), match="layer", rng=settings.seed, exclude=functional
        )
    row = negative(
        runner, heads, function, controls, settings.operation, means, "specificity", n_boot=settings.n_bootstrap,
        seed=settings.seed, split=study.control_split,
        progress=lambda _, done, total: study.report(f"selected heads of tower {tower}", done, total),
    )  # fmt: skip
    return {"tower": tower, **{name: row[name] for name in RESULTS["tower_sets"].names if name != "tower"}}
