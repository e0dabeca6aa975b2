"""Calibration of claims: how often each is supported where it is false, and where it is true.

Every world is put through the stages of a study that lead to the claims: scoring, selection, counts, ablation with controls,
pictures with marks, steering, verdicts, by the same functions and at the same sizes. What is true in each kind of world follows
from how it was drawn (`TRUTH`). A claim is calibrated if it is supported in at most 5 % of the worlds where it is false and in
at least 80 % of those where it is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention import add_q, concentration, directions, negative, positive, random_sets, tune
from headatlas.intervention.concentration import SPARSE
from headatlas.intervention.controls import LEAST
from headatlas.intervention.operations import mean_z
from headatlas.latent import activation_table
from headatlas.progress import Progress
from headatlas.results import RESULTS
from headatlas.scoring import Scores, ScoringInputs, counts_table, fewest_table, get_scorer, select
from headatlas.scoring.select import ranking
from headatlas.stats import wilson
from headatlas.study.claims import Claim, judge
from headatlas.truth.synthetic import KINDS, SyntheticWorld, drawn

TRUTH: dict[str, dict[str, bool]] = {
    "planted": {"C1": True, "C2": True, "C3": True, "C5a": True},
    "equal": {"C1": True, "C2": False, "C3": False, "C5a": True},
    "many": {"C1": True, "C2": True, "C3": False, "C5a": True},
    "redundant": {"C1": True, "C2": True, "C3": False, "C5a": True},
    "shared": {"C1": True, "C2": False, "C3": False, "C5a": False},
    "format": {"C1": False, "C2": False, "C3": False, "C5a": False},
    "diffuse": {"C1": False, "C2": False, "C3": False, "C5a": False},
    "chance": {"C1": False, "C2": False, "C3": False, "C5a": False},
    "helped": {"C4": True},
    "any picture": {"C4": False},
    "unhelped": {"C4": False},
    "misled": {"C4": False},
    "steerable": {"C5b": True},
    "any push": {"C5b": False},
    "read only": {"C5b": False},
}
"""What holds in each kind of synthetic world; a claim that is not named is not asked there."""

CONTROLLED = "E[:150]"
"""Where conditions are compared with their controls, as in a study."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the study of a world, by default those of a study."""

    questions: int = 750
    n_random: int = 100
    n_directions: int = 40
    n_boot: int = 1_000


def calibrate(
    seeds: Sequence[int] = range(20),
    scorer: str = "backup",
    kinds: Sequence[str] = tuple(KINDS),
    sizes: Sizes | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Draw worlds, study each, and compare the verdict on every claim with the truth.

    Args:
        seeds: one world of each kind is drawn for each seed.
        scorer: name of a scorer that works on synthetic worlds.
        kinds: kinds of world, see `synthetic.KINDS`.
        sizes: of the studies.
        progress: called after each world.

    Returns:
        One row per world and claim: kind, seed, claim, true (bool), verdict, effect, p.
    """
    chosen = sizes or Sizes()
    rows = []
    worlds = [(kind, seed) for kind in kinds for seed in seeds]
    for done, (kind, seed) in enumerate(worlds, 1):
        for claim in study_world(drawn(kind, seed, chosen.questions), scorer, chosen, seed):
            if claim.id in TRUTH[kind]:
                rows.append((kind, seed, claim.id, TRUTH[kind][claim.id], claim.verdict, claim.effect, claim.p))
        if progress is not None:
            progress("worlds", done, len(worlds))
    return pd.DataFrame(rows, columns=["kind", "seed", "claim", "true", "verdict", "effect", "p"])


def rates(found: pd.DataFrame) -> pd.DataFrame:
    """How often each claim is supported where it is true and where it is false, from the rows of `calibrate`.

    Returns:
        One row per claim and truth: claim, true, supported (share with its Wilson interval low, high), contradicted,
        inconclusive, untestable (shares), worlds.
    """
    rows = []
    for (claim, true), some in found.groupby(["claim", "true"], sort=True):
        share = wilson(int((some["verdict"] == "supported").sum()), len(some))
        others = [
            float((some["verdict"] == verdict).mean())
            for verdict in ("contradicted", "inconclusive", "not testable here")
        ]
        rows.append((claim, true, share.value, share.low, share.high, *others, len(some)))
    columns = ["claim", "true", "supported", "low", "high", "contradicted", "inconclusive", "untestable", "worlds"]
    return pd.DataFrame(rows, columns=columns)


def study_world(world: SyntheticWorld, scorer: str, sizes: Sizes, seed: int = 0) -> list[Claim]:
    """The verdicts of a study of one synthetic world by one scorer."""
    tables = tables_of(world, scorer, sizes, seed)
    return judge(lambda name: tables.get(name, RESULTS[name].empty()), [scorer])


def tables_of(world: SyntheticWorld, scorer: str, sizes: Sizes, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The results tables that the claims read: of pictures, of steering or of ablation, by what the world is about."""
    if world.rules.shown:
        answers = {arm: world.shown_as(arm) for arm in ("original", *world.rules.shown)}
        return {"activation": activation_table(answers, n_boot=sizes.n_boot, seed=seed)}
    runner: Any = world.runner()
    inputs = ScoringInputs(world.activations, "predict", vlm=world.vlm, data=world.data, seed=seed)
    scores = get_scorer(scorer)(inputs, **get_scorer(scorer).taken(runner=runner))
    sets = _sets(world, scores)
    if world.rules.evidence:
        return _steering(world, runner, scorer, sets, sizes, seed)
    return _ablation(world, runner, scores, scorer, sets, sizes, seed)


def _sets(world: SyntheticWorld, scores: Scores) -> dict[str, HeadSet]:
    """The heads that a study would act on, by function."""
    most, sets = max(1, round(SPARSE * np.prod(world.rules.shape))), {}
    for name in FUNCTIONS:
        found = select(scores, name, "functional")
        kept = set(found)
        best = [head for head in ranking(scores, name) if head in kept][:most]
        sets[name] = HeadSet(sorted(best), reason=found.reason)
    return sets


def _ablation(
    world: SyntheticWorld, runner: Any, scores: Scores, scorer: str, sets: dict[str, HeadSet], sizes: Sizes, seed: int
) -> dict[str, pd.DataFrame]:
    means = mean_z(world.activations, "P")
    functional = {head for one in sets.values() for head in one}
    rows = [
        negative(
            runner, sets[name], name,
            random_sets(sets[name], world.rules.shape, sizes.n_random, rng=seed, exclude=functional),
            "mean", means, scorer, n_boot=sizes.n_boot, seed=seed, split=CONTROLLED,
        )
        for name in SPATIAL
    ]  # fmt: skip
    few = concentration(
        runner, {name: ranking(scores, name) for name in FUNCTIONS}, world.rules.shape,
        (max(1, int(SPARSE * np.prod(world.rules.shape))),), "mean", means, scorer,
        split=CONTROLLED, n_random=LEAST, n_boot=sizes.n_boot, seed=seed,
    )  # fmt: skip
    fewest = fewest_table(scores, n_boot=sizes.n_boot, seed=seed)
    return {
        "negative": add_q(pd.DataFrame(rows)),
        "concentration": few,
        "fewest": fewest,
        "counts": counts_table(scores, fewest, seed, sizes.n_boot),
    }


def _steering(
    world: SyntheticWorld, runner: Any, scorer: str, sets: dict[str, HeadSet], sizes: Sizes, seed: int
) -> dict[str, pd.DataFrame]:
    tables, sources = [], []
    for name in SPATIAL:
        found = directions(world.activations, name, tokens="predict")
        reason = found.reason or (sets[name].reason if not sets[name] else "")
        sources.append((scorer, name, found.n_correct, found.n_incorrect, len(sets[name]), reason))
        if not reason:
            alpha, _ = tune(runner, sets[name], found, name, scorer=scorer)
            tables.append(
                positive(
                    runner, sets[name], found, name, alpha, n_random=sizes.n_directions, scorer=scorer,
                    split=CONTROLLED, n_boot=sizes.n_boot, seed=seed,
                )
            )  # fmt: skip
    steering = pd.DataFrame(sources, columns=list(RESULTS["steering"].names))
    return {
        "steering": steering,
        "positive": add_q(pd.concat(tables, ignore_index=True)) if tables else RESULTS["positive"].empty(),
    }


def is_calibrated(table: pd.DataFrame, false: float = 0.05, true: float = 0.8) -> pd.Series:
    """Whether each row of `rates` meets its aim: supported in at most `false` where false, in at least `true` where true."""
    meets = np.where(table["true"], table["supported"] >= true, table["supported"] <= false)
    return pd.Series(meets, index=table.index, name="calibrated")
