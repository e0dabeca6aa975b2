"""Stage `steer`: steer spatial heads from wrong answers toward right ones; strength tuned on split T, effect on split E."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.intervention import Directions, Runner, add_q, directions, positive, random_sets, tune
from headatlas.results import RESULTS
from headatlas.study.stages.base import stage
from headatlas.study.study import Study


@stage("steer", needs=("data", "capture", "score", "select"), version=2)
def run(study: Study) -> None:
    """Write results/positive.csv, tuning.csv, and steering.csv (the data behind each direction, or why there is none)."""
    runner = study.runner()
    tables, tried, sources = [], [], []
    for function in SPATIAL:
        estimated = directions(study.acts, function, tokens=study.settings.tokens)
        for scorer in study.judged:
            heads = study.head_set(function, scorer)
            reason = estimated.reason or (heads.reason if not heads else "")
            sources.append((scorer, function, estimated.n_correct, estimated.n_incorrect, len(heads), reason))
            if not reason:
                table, tuning = _steer(study, runner, scorer, function, estimated)
                tables.append(table)
                tried.append(tuning)
    write = study.run.write_table
    write("steering", pd.DataFrame(sources, columns=list(RESULTS["steering"].names)))
    write("positive", add_q(pd.concat(tables, ignore_index=True)) if tables else RESULTS["positive"].empty())
    write("tuning", pd.concat(tried, ignore_index=True) if tried else RESULTS["tuning"].empty())


def _steer(
    study: Study, runner: Runner, scorer: str, function: str, estimated: Directions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings, heads = study.settings, study.head_set(function, scorer)
    alpha, tuning = tune(runner, heads, estimated, function, settings.alphas, scorer)
    n = settings.n_steer
    shuffled = [directions(study.acts, function, tokens=settings.tokens, shuffle=i) for i in range(n)]
    table = positive(
        runner, heads, estimated, function, alpha, shuffled,
        random_sets(heads, study.vlm.heads.shape, n, match="layer", rng=settings.seed), settings.n_directions, scorer,
        n_boot=settings.n_bootstrap, seed=settings.seed, split=study.control_split,
        progress=lambda _, done, total: study.report(f"steer {study.name_of(function)}, {scorer}", done, total),
    )  # fmt: skip
    return table, tuning
