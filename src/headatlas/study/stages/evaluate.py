"""Stage `evaluate`: accuracy of the unedited model on split E, with and without the image, in gold and own context."""

from __future__ import annotations

import pandas as pd

from headatlas.answers import metrics
from headatlas.cogvsr.functions import SPATIAL
from headatlas.intervention import Condition
from headatlas.results import RESULTS
from headatlas.study.stages.base import stage
from headatlas.study.study import Study

_CONTEXTS = {
    "gold": ("generate", "gold", "original"),
    "gold_no_image": ("generate", "gold", "no_image"),
    "own": ("generate", "own", "original"),
    "own_no_image": ("generate", "own", "no_image"),
}
"""Context of the tables -> mode, context and arm of the runner."""


@stage("evaluate", needs=("data",), version=2)
def run(study: Study) -> None:
    """Write results/baseline.csv and metrics.csv; a model that cannot be asked without an image has no rows for that."""
    answers = {}
    contexts = {name: way for name, way in _CONTEXTS.items() if study.shows(way[2])}
    for done, (name, (mode, context, arm)) in enumerate(contexts.items(), 1):
        answers[name] = study.runner(mode, context).run(Condition(name, arm=arm), "E")
        study.report("evaluate", done, len(contexts))
    n, seed = study.settings.n_bootstrap, study.settings.seed
    tables = [baseline_table(table, name, n, seed) for name, table in answers.items()]
    study.run.write_table("baseline", pd.concat(tables, ignore_index=True))
    # The Spatial Score is of the spatial functions; questions that name no function have no such score.
    spatial = not study.one_task and bool(set(SPATIAL) & set(study.functions))
    study.run.write_table("metrics", metrics_table(answers, n, seed) if spatial else RESULTS["metrics"].empty())


def baseline_table(answers: pd.DataFrame, context: str, n: int, seed: int) -> pd.DataFrame:
    """Accuracy by function (all its steps), by family and over all (their final answers): rows of results/baseline.csv."""
    last = metrics.final(answers)
    tables = []
    for kind, part, by in (("function", answers, "function"), ("family", last, "family"), ("final", last, None)):
        table = metrics.accuracy_by(part, by, n=n, seed=seed)
        if by is None:
            table["group"] = kind
        table.insert(0, "group_kind", kind)
        table.insert(0, "context", context)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def metrics_table(answers: dict[str, pd.DataFrame], n: int, seed: int) -> pd.DataFrame:
    """Spatial Score and its relatives: rows of results/metrics.csv, all in 0..100."""
    rows = []
    for context in ("gold", "own"):
        bare, blind = answers[context], answers.get(f"{context}_no_image")
        scores = {
            "SS": metrics.spatial_score(bare, n=n, seed=seed),
            "SS_chance_corrected": metrics.spatial_score(bare, chance_corrected=True, n=n, seed=seed),
        }
        if blind is not None:
            scores["SS_ground"] = metrics.ss_ground(bare, blind, n=n, seed=seed)
        if context == "own":
            scores["SS_chain"] = metrics.ss_chain(bare, n=n, seed=seed)
        for name, value in scores.items():
            bounds = {"low": value.low, "high": value.high, "n": value.n}
            rows.append({"condition": context, "metric": name, "value": value.value, **bounds})
    return pd.DataFrame(rows)
