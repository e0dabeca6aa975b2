"""Calibration of claims: how often each is supported where it is false, and where it is true.

Every synthetic world goes through the stages of a study that lead to the claims on heads (C1, C2, C3, C5a): scoring, selection,
counts, ablation with controls, verdicts, with the same functions and sizes. Which claims are true in a kind of world follows from
how it is drawn (`TRUTH`). A claim is calibrated if it is supported in at most 5 % of the worlds where it is false and in at least
80 % of those where it is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention import add_q, concentration, negative, random_sets
from headatlas.intervention.concentration import SPARSE
from headatlas.intervention.controls import LEAST
from headatlas.intervention.operations import mean_z
from headatlas.progress import Progress
from headatlas.results import RESULTS
from headatlas.scoring import ScoringInputs, counts_table, fewest_table, get_scorer, select
from headatlas.scoring.select import ranking
from headatlas.stats import wilson
from headatlas.study.claims import Claim, judge
from headatlas.truth.synthetic import KINDS, SyntheticWorld, drawn

CLAIMS = ("C1", "C2", "C3", "C5a")
"""The claims that need only ablation. C4 and C5b need pictures and helpful directions, which synthetic worlds do not have."""

TRUTH: dict[str, dict[str, bool]] = {
    "planted": {"C1": True, "C2": True, "C3": True, "C5a": True},
    "equal": {"C1": True, "C2": False, "C3": False, "C5a": True},
    "many": {"C1": True, "C2": True, "C3": False, "C5a": True},
    "redundant": {"C1": True, "C2": True, "C3": False, "C5a": True},
    "shared": {"C1": True, "C2": False, "C3": False, "C5a": False},
    "format": {"C1": False, "C2": False, "C3": False, "C5a": False},
    "diffuse": {"C1": False, "C2": False, "C3": False, "C5a": False},
    "chance": {"C1": False, "C2": False, "C3": False, "C5a": False},
}
"""Whether each claim is true, by kind of synthetic world."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the study of a world, by default those of a study."""

    questions: int = 750
    n_random: int = 100
    n_boot: int = 1_000


def calibrate(
    seeds: Sequence[int] = range(20),
    scorer: str = "ablation",
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
        One row a world and claim: kind, seed, claim, true (bool), verdict, effect, p.
    """
    chosen = sizes or Sizes()
    rows = []
    worlds = [(kind, seed) for kind in kinds for seed in seeds]
    for done, (kind, seed) in enumerate(worlds, 1):
        for claim in study_world(drawn(kind, seed, chosen.questions), scorer, chosen, seed):
            if claim.id in CLAIMS:
                rows.append((kind, seed, claim.id, TRUTH[kind][claim.id], claim.verdict, claim.effect, claim.p))
        if progress is not None:
            progress("worlds", done, len(worlds))
    return pd.DataFrame(rows, columns=["kind", "seed", "claim", "true", "verdict", "effect", "p"])


def rates(found: pd.DataFrame) -> pd.DataFrame:
    """How often each claim is supported where it is true and where it is false, from the rows of `calibrate`.

    Returns:
        One row a claim and truth: claim, true, supported (share with its Wilson interval low, high), contradicted, inconclusive,
        untestable (shares), worlds.
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
    """The results tables that the claims read."""
    runner: Any = world.runner()
    layers, heads = world.rules.shape
    means = mean_z(world.activations, "P")
    inputs = ScoringInputs(world.activations, "predict", vlm=world.vlm, data=world.data, seed=seed)
    scores = get_scorer(scorer)(inputs, **({"runner": runner} if scorer in ("ablation", "specificity") else {}))
    most = max(1, round(SPARSE * layers * heads))
    sets = {}
    for name in FUNCTIONS:
        selection = select(scores, name, "functional")
        selected = set(selection)
        best = [head for head in ranking(scores, name) if head in selected][:most]
        sets[name] = HeadSet(sorted(best), reason=selection.reason)
    functional = {head for one in sets.values() for head in one}
    rows = [
        negative(
            runner, sets[name], name,
            random_sets(sets[name], world.rules.shape, sizes.n_random, rng=seed, exclude=functional),
            "mean", means, scorer, n_boot=sizes.n_boot, seed=seed, split="E[:150]",
        )
        for name in SPATIAL
    ]  # fmt: skip
    few = concentration(
        runner, {name: ranking(scores, name) for name in FUNCTIONS}, world.rules.shape, (max(1, int(SPARSE * layers * heads)),),
        "mean", means, scorer, split="E[:150]", n_random=LEAST, n_boot=sizes.n_boot, seed=seed,
    )  # fmt: skip
    fewest = fewest_table(scores, n_boot=sizes.n_boot, seed=seed)
    return {
        "negative": add_q(pd.DataFrame(rows)),
        "concentration": few,
        "fewest": fewest,
        "counts": counts_table(scores, fewest, seed, sizes.n_boot),
    }


def is_calibrated(table: pd.DataFrame, false: float = 0.05, true: float = 0.8) -> pd.Series:
    """Whether each row of `rates` meets its aim: supported in at most `false` where false, in at least `true` where true."""
    meets = np.where(table["true"], table["supported"] >= true, table["supported"] <= false)
    return pd.Series(meets, index=table.index, name="calibrated")
