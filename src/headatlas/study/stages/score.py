"""Stage `score`: every scorer scores every head for every function; also probe accuracy and agreement of scorers.

Probes are fitted on split P and heads are scored on split S, in the model and in its untrained twin. Split E is used only for the
probe's accuracy, by which nothing is chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from headatlas.activations import capture
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.results import RESULTS
from headatlas.scoring import SCORERS, Atlas, Scores, ScoringInputs, agreement, get_scorer, probe_accuracy
from headatlas.scoring.base import UnscorableError
from headatlas.scoring.functional import TWIN
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study
from headatlas.vlm import untrained_twin

log = logging.getLogger("headatlas")


@stage("score", needs=("data", "capture"), uses=lambda study: codes(SCORERS, study.settings.scorers))
def run(study: Study) -> None:
    """Write atlas.json, results/scorers.csv, scores.csv, probe.csv, agreement.csv and gaze.csv."""
    settings = study.settings
    options, runner = _options(study), study.runner()
    atlas = Atlas(study.vlm.name)
    left_out: dict[str, str] = {}
    for name in settings.scorers:
        n_null = {"paper": settings.probe_null, "linear": settings.linear_null}.get(name)
        inputs = _inputs(study, n_null)
        try:
            own = get_scorer(name).taken(runner=runner)  # scorers that ablate share their answers, and find them again
            own |= get_scorer(name).taken(operation=settings.operation) if own else {}
            scored = get_scorer(name)(inputs, **own, **options.get(name, {}))
        except UnscorableError as error:
            left_out[name] = str(error)
            log.warning("scorer %r is left out: %s", name, error)
            continue
        if scored.shape != study.vlm.heads.shape:
            raise HeadAtlasError(
                f"scorer {name!r} must score the model's {study.vlm.heads.shape} layers x heads, got a grid of {scored.shape}"
            )
        atlas.scores[name] = replace(scored, name=name)
        study.report("score", len(atlas.scores) + len(left_out), len(settings.scorers))
    if not atlas.scores:
        raise HeadAtlasError(f"no scorer can score these data: {next(iter(left_out.values()))}; choose another scorer")
    _add_twin(study, atlas)
    atlas.save(study.run.root)
    study.atlas = atlas
    write = study.run.write_table
    write("scorers", scorers_table(settings.scorers, left_out))
    write("gaze", gaze_table(atlas.scores["attention"]) if "attention" in atlas.scores else RESULTS["gaze"].empty())
    write("scores", pd.concat([scores_table(one) for one in atlas.scores.values()], ignore_index=True))
    write("probe", _probe_table(study, atlas))
    reference = atlas.scores.get("ablation")
    others = [one for name, one in atlas.scores.items() if name != "ablation"]
    tables = [agreement(one, reference, seed=settings.seed) for one in others] if reference else []
    write("agreement", pd.concat(tables, ignore_index=True) if tables else RESULTS["agreement"].empty())


def scorers_table(names: Sequence[str], left_out: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Rows of results/scorers.csv: the scorers' names in the report, and why some were left out."""
    rows = [SCORERS[name] for name in names]
    return pd.DataFrame(
        [{key: getattr(row, key) for key in ("title", "label", "description", "unit")} for row in rows]
    ).assign(scorer=list(names), left_out=[(left_out or {}).get(name, "") for name in names])[
        list(RESULTS["scorers"].names)
    ]


SHARES = ("target", "random", "image", "top_in_target", "question", "first", "image_sink", "sink")
"""Columns of results/gaze.csv that are shares of attention and always known."""


def gaze_table(scores: Scores) -> pd.DataFrame:
    """Rows of results/gaze.csv from the scores of `attention`: one per head and function that has steps with boxes."""
    names = (
        *("low", "high", "target", "random", "foreign", "image", "selectivity", "top_in_target", "localisation"),
        *("question", "first", "image_sink", "sink"),
    )
    layers, heads = scores.shape
    rows = []
    assert scores.per_sample is not None
    for c, function in enumerate(FUNCTIONS):
        n = int((scores.per_sample.function == c).sum())
        for layer in range(layers if n else 0):
            for head in range(heads):
                at = c, layer, head
                row: dict[str, Any] = {
                    "function": function,
                    "layer": layer,
                    "head": head,
                    "gaze": scores.values[at],
                    "n": n,
                }
                row |= {name: scores.arrays[name][at] for name in names}
                row |= {
                    name: float(np.clip(row[name], 0, 1)) for name in SHARES
                }  # sums of shares can exceed 1 by rounding
                row["twin"] = scores.arrays["twin"][c] if "twin" in scores.arrays else nan
                rows.append(row | {"p": nan if scores.pvalues is None else scores.pvalues[at]})
    return pd.DataFrame(rows) if rows else RESULTS["gaze"].empty()


def scores_table(scores: Scores) -> pd.DataFrame:
    """Rows of results/scores.csv: one per function and head."""
    rows = []
    layers, heads = scores.shape
    per_head = (
        TWIN in scores.arrays and scores.arrays[TWIN].ndim == 3
    )  # some scorers keep the twin's largest score only
    for c, function in enumerate(FUNCTIONS):
        for head in (Head(layer, h) for layer in range(layers) for h in range(heads)):
            p = None if scores.pvalues is None else scores.pvalues[c, head.layer, head.head]
            place = {"scorer": scores.name, "function": function, "layer": head.layer, "head": head.head}
            twin = scores.arrays[TWIN][c, head.layer, head.head] if per_head else None
            rows.append({**place, "value": scores.values[c, head.layer, head.head], "p": p, "twin": twin})
    return pd.DataFrame(rows)


def _add_twin(study: Study, atlas: Atlas) -> None:
    """Score the untrained twin by the scorers that ask for it; its scores go to `arrays["twin"]` of the model's own."""
    wanted = [name for name in atlas.scores if get_scorer(name).twin]
    if not study.settings.twin or not wanted:
        return
    try:
        twin = untrained_twin(study.vlm, study.settings.seed)
    except HeadAtlasError as error:
        log.warning("the untrained twin is left out: %s", error)
        return
    questions = study.data.select([*study.data.split("P").ids, *study.data.split("S").ids])
    acts = capture(
        twin, questions, (study.settings.tokens,), batch_size=study.settings.batch_size,
        progress=lambda _, done, total: study.report("untrained twin", done, total),
    )  # fmt: skip
    for name in wanted:
        inputs = ScoringInputs(
            acts, study.settings.tokens, vlm=twin, data=study.data, seed=study.settings.seed, n_null=0,
        )  # fmt: skip
        scored = get_scorer(name)(inputs, **({"preset": study.settings.probe} if name == "paper" else {}))
        own = atlas.scores[name]
        atlas.scores[name] = replace(own, arrays=own.arrays | {TWIN: scored.values})


def _inputs(study: Study, n_null: int | None) -> ScoringInputs:
    return ScoringInputs(
        study.acts, study.settings.tokens, vlm=study.vlm, data=study.data, seed=study.settings.seed, n_null=n_null,
        progress=study.report,
    )  # fmt: skip


def _options(study: Study) -> dict[str, dict[str, Any]]:
    settings = study.settings
    attention = {
        "cache_dir": study.store.at("attention"),
        "batch_size": settings.batch_size,
        "workers": study.workers,
    }
    # Groups are found with the same means as they are later ablated with.
    multihead = {"means": study.means, "batch_size": settings.batch_size, "workers": study.workers}
    return {"paper": {"preset": settings.probe}, "attention": attention, "multihead": multihead}


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
