"""Stage `score`: every scorer scores every head for every function; how well probes predict and how far scorers agree.

Probes are fitted on split P and heads are scored on split S. Split E is used for the probe's accuracy only, by which
nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.results import RESULTS
from headatlas.scoring import SCORERS, Atlas, Scores, ScoringInputs, agreement, get_scorer, probe_accuracy
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study


@stage("score", needs=("data", "capture"), uses=lambda study: codes(SCORERS, study.settings.scorers))
def run(study: Study) -> None:
    """Write atlas.json, results/scorers.csv, scores.csv, probe.csv and agreement.csv."""
    settings = study.settings
    options = _options(study)
    atlas = Atlas(study.vlm.name)
    for name in settings.scorers:
        n_null = {"paper": settings.probe_null, "linear": settings.linear_null}.get(name)
        inputs = _inputs(study, n_null)
        scored = get_scorer(name)(inputs, **options.get(name, {}))
        if scored.shape != study.vlm.heads.shape:
            raise HeadAtlasError(
                f"scorer {name!r} must score the model's {study.vlm.heads.shape} layers x heads, got a grid of {scored.shape}"
            )
        atlas.scores[name] = replace(scored, name=name)
        study.report("score", len(atlas.scores), len(settings.scorers))
    atlas.save(study.run.root)
    study.atlas = atlas
    write = study.run.write_table
    write("scorers", scorers_table(settings.scorers))
    write("scores", pd.concat([scores_table(one) for one in atlas.scores.values()], ignore_index=True))
    write("probe", _probe_table(study, atlas))
    reference = atlas.scores.get("ablation")
    others = [one for name, one in atlas.scores.items() if name != "ablation"]
    tables = [agreement(one, reference, seed=settings.seed) for one in others] if reference else []
    write("agreement", pd.concat(tables, ignore_index=True) if tables else RESULTS["agreement"].empty())


def scorers_table(names: Sequence[str]) -> pd.DataFrame:
    """Rows of results/scorers.csv: how the scorers are called in the report."""
    rows = [SCORERS[name] for name in names]
    return pd.DataFrame(
        [{key: getattr(row, key) for key in ("title", "label", "description", "unit")} for row in rows]
    ).assign(scorer=list(names))[list(RESULTS["scorers"].names)]


def scores_table(scores: Scores) -> pd.DataFrame:
    """Rows of results/scores.csv: one a function and head."""
    rows = []
    layers, heads = scores.shape
    for c, function in enumerate(FUNCTIONS):
        for head in (Head(layer, h) for layer in range(layers) for h in range(heads)):
            p = None if scores.pvalues is None else scores.pvalues[c, head.layer, head.head]
            place = {"scorer": scores.name, "function": function, "layer": head.layer, "head": head.head}
            rows.append({**place, "value": scores.values[c, head.layer, head.head], "p": p})
    return pd.DataFrame(rows)


def _inputs(study: Study, n_null: int | None) -> ScoringInputs:
    return ScoringInputs(
        study.acts, study.settings.tokens, vlm=study.vlm, data=study.data, seed=study.settings.seed, n_null=n_null,
        progress=study.report,
    )  # fmt: skip


def _options(study: Study) -> dict[str, dict[str, Any]]:
    settings = study.settings
    ablation = {
        "operation": settings.operation,
        "runner": study.runner(),
    }
    return {"paper": {"preset": settings.probe}, "ablation": ablation}


def _probe_table(study: Study, atlas: Atlas) -> pd.DataFrame:
    """The paper's probe on S and T as the scorer measured it and on E, refitted; the best head's linear probe on S."""
    tables = []
    if "paper" in atlas.scores:
        tables.append(pd.DataFrame(atlas.scores["paper"].info["probe"]))
        tables.append(probe_accuracy(_inputs(study, 1), "E", preset=study.settings.probe))
    if "linear" in atlas.scores:
        tables.append(_linear_rows(study, atlas.scores["linear"]))
    return pd.concat(tables, ignore_index=True) if tables else RESULTS["probe"].empty()


def _linear_rows(study: Study, scores: Scores) -> pd.DataFrame:
    n = int((study.acts.steps["split"] == "S").sum())
    rows = []
    for c, function in enumerate(FUNCTIONS):
        best = scores.values[c].argmax()
        areas = {"true": scores.arrays["auc"][c].ravel()[best], "control": scores.arrays["control"][c].ravel()[best]}
        areas["text_only"] = scores.info["text_only_auc"][c]
        row = {"scorer": "linear", "split": "S", "measure": "auc", "function": function, "n": n}
        rows += [{**row, "target": target, "value": area, "low": nan, "high": nan} for target, area in areas.items()]
    return pd.DataFrame(rows)
