"""Stage `select`: each function's heads, how sparse they are, how far they overlap, and how certain the counts are.

Claims C2 and C3 read `counts.csv`, whose shares are of the sets that the study's selector chose.
"""

from __future__ import annotations

import logging

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS
from headatlas.scoring import (
    SELECTORS,
    Scores,
    counts_table,
    fewest_table,
    overlap_table,
    selection_table,
    sparsity_table,
)
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

N_BOOT = 1_000

log = logging.getLogger("headatlas")


@stage("select", needs=("score",), uses=lambda study: codes(SELECTORS, [study.settings.selector]))
def run(study: Study) -> None:
    """Write results/selection.csv, sparsity.csv, overlap.csv, counts.csv and fewest.csv."""
    chosen, seed = study.settings.selector, study.settings.seed
    names = ("selection", "sparsity", "overlap", "counts", "fewest")
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for done, scores in enumerate(study.atlas.scores.values(), 1):
        shown = tuple(dict.fromkeys((chosen, "functional", "null", "elbow", "top_k")))
        tables["selection"].append(selection_table(scores, shown))
        tables["sparsity"].append(sparsity_table(scores, chosen))
        tables["overlap"].append(overlap_table(scores, chosen))
        fewest = RESULTS["fewest"].empty()
        if scores.per_sample is not None:
            fewest = _fewest(scores, seed)
            tables["fewest"].append(fewest)
        tables["counts"].append(counts_table(scores, fewest, seed, N_BOOT, chosen))
        study.report("select", done, len(study.atlas.scores))
    for name, parts in tables.items():
        filled = [part for part in parts if len(part)]
        study.run.write_table(name, pd.concat(filled, ignore_index=True) if filled else RESULTS[name].empty())


def _fewest(scores: Scores, seed: int) -> pd.DataFrame:
    """Rows of results/fewest.csv; none, with a warning, where the data hold spatial or other functions only."""
    try:
        return fewest_table(scores, n_boot=N_BOOT, seed=seed)
    except HeadAtlasError as error:
        log.warning("%s: %s", scores.name, error)
        return RESULTS["fewest"].empty()
