"""Stage `ablate`: split E is answered without the selected heads.

For every scorer: the damage matrix (every function's heads), and the share of all damage that the best heads of each ranking do.
The heads of the spatial functions are also ablated by three operations, in growing numbers, and compared with random head sets of
the same size (without functional heads if there are enough others).
"""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention import (
    OPERATIONS,
    Runner,
    add_q,
    concentration,
    damage_matrix,
    dose_curve,
    negative,
    random_sets,
)
from headatlas.intervention.concentration import SPARSE
from headatlas.intervention.controls import LEAST
from headatlas.results import RESULTS
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study


@stage("ablate", needs=("data", "capture", "score", "select"), version=2, uses=lambda study: codes(OPERATIONS))
def run(study: Study) -> None:
    """Write results/negative.csv, damage.csv, concentration.csv and dose.csv."""
    runner = study.runner()
    rows, damage, few, doses = [], [], [], []
    for scorer in study.judged:
        sets = {function: study.head_set(function, scorer) for function in FUNCTIONS}
        damage.append(_damage(study, runner, scorer, sets))
        for function in study.functions:
            rows += _negative(study, runner, scorer, function, sets)
        few.append(_concentration(study, runner, scorer))
        for function in SPATIAL:
            if function in study.functions:
                doses.append(_dose(study, runner, scorer, function))
    study.run.write_table("negative", add_q(pd.DataFrame(rows)))
    study.run.write_table("damage", pd.concat(damage, ignore_index=True))
    study.run.write_table("concentration", pd.concat(few, ignore_index=True))
    study.run.write_table("dose", pd.concat(doses, ignore_index=True) if doses else RESULTS["dose"].empty())


def _damage(study: Study, runner: Runner, scorer: str, sets: dict[str, HeadSet]) -> pd.DataFrame:
    return damage_matrix(
        runner, sets, study.settings.operation, study.means, scorer, n_boot=study.settings.n_bootstrap,
        seed=study.settings.seed, progress=lambda _, done, total: study.report(f"damage matrix, {scorer}", done, total),
    )  # fmt: skip


def _negative(
    study: Study, runner: Runner, scorer: str, function: str, sets: dict[str, HeadSet]
) -> list[dict[str, object]]:
    """Rows of one function: under its own operation with random controls; spatial ones under every operation."""
    settings, heads, rows = study.settings, sets[function], []
    functional = {head for one in sets.values() for head in one}
    for operation in OPERATIONS if function in SPATIAL else (settings.operation,):
        # Each random set costs a pass, so only the spatial functions, which the claims are about, get random sets.
        n_random = settings.n_random if function in SPATIAL and operation == settings.operation else 0
        controls = random_sets(
            heads, study.vlm.heads.shape, n_random, match="layer", rng=settings.seed, exclude=functional
        )
        rows.append(
            negative(
                runner, heads, function, controls, operation, study.means, scorer, n_boot=settings.n_bootstrap,
                seed=settings.seed, split=study.control_split,
                progress=lambda _, done, total: study.report(f"ablate {study.name_of(function)}, {scorer}", done, total),
            )
        )  # fmt: skip
    return rows


def _concentration(study: Study, runner: Runner, scorer: str) -> pd.DataFrame:
    settings = study.settings
    layers, heads = study.vlm.heads.shape
    most = max(1, int(SPARSE * layers * heads))
    rankings = {function: study.atlas.ranking(function, scorer) for function in study.functions}
    return concentration(
        runner, rankings, study.vlm.heads.shape, (most,), settings.operation, study.means, scorer,
        split=study.control_split, n_random=min(settings.n_random, LEAST), seed=settings.seed,
        progress=lambda _, done, total: study.report(f"best heads, {scorer}", done, total),
    )  # fmt: skip


def _dose(study: Study, runner: Runner, scorer: str, function: str) -> pd.DataFrame:
    settings = study.settings
    ranking = study.atlas.ranking(function, scorer)
    return dose_curve(
        runner, ranking, function, [0, *(k for k in settings.doses if k <= len(ranking))], settings.operation, study.means,
        settings.n_random_dose, scorer, n_boot=settings.n_bootstrap, seed=settings.seed,
        progress=lambda _, done, total: study.report(f"dose curve {study.name_of(function)}, {scorer}", done, total),
    )  # fmt: skip
