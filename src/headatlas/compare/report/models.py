"""Which model is what, and what differs in how they were studied. Knows models.csv, metrics.csv and differences.csv."""

from __future__ import annotations

import pandas as pd

from headatlas.compare.report.common import models_of
from headatlas.report import words
from headatlas.report.page import Block, Note, Section, Table
from headatlas.report.tables import Run, only, records

NOT_RECORDED = "not recorded"


def models_section(run: Run) -> Section:
    """A table of the models, then every setting in which their studies differ."""
    return Section(
        id="models",
        title="Which model is what",
        intro="The models compared here, with the size of their language part, where all heads of this page lie. With grouped "
        "queries several heads share their keys and values; each is still a head of its own.",
        blocks=(_models(run), *_differences(run)),
        short="The models",
    )


def _models(run: Run) -> Table:
    return Table(
        columns=(
            "Model",
            "Family",
            "Heads",
            "Layers × heads",
            "Query heads to a key head",
            "Head size",
            "Spatial Score",
        ),
        rows=tuple(
            (
                row.model,
                row.family or NOT_RECORDED,
                words.count(row.total),
                f"{words.count(row.layers)} × {words.count(row.heads_per_layer)}",
                _grouped(row.heads_per_layer, row.kv_heads),
                words.count(row.d_head),
                _spatial_score(run.tables["metrics"], row.model),
            )
            for row in records(run.tables["models"])
        ),
        caption="Spatial Score: the mean of the accuracies on spatial perception and relational reasoning, with the model's own "
        "earlier answers, 0 to 100, with its 95 % interval.",
        n_text=2,
    )


def _grouped(heads: float, kv_heads: float) -> str:
    if not words.known(kv_heads) or kv_heads <= 0:
        return NOT_RECORDED
    return "1 (not grouped)" if kv_heads >= heads else words.number(heads / kv_heads, 0)


def _spatial_score(metrics: pd.DataFrame, model: str) -> str:
    rows = only(metrics, model=model, condition="own", metric="SS")
    if rows.empty:
        return words.MISSING
    value, low, high = (words.number(rows.iloc[0][key], 1) for key in ("value", "low", "high"))
    span = words.interval(low, high)
    return f"{value} ({span})" if span else value


def _differences(run: Run) -> tuple[Block, ...]:
    frame = run.tables["differences"]
    if frame.empty:
        same = "All models were asked the same questions and studied with the same settings."
        return (Note(same),)
    settings = list(dict.fromkeys(frame["setting"]))
    models = models_of(run)
    told = {(row.setting, row.model): row.told for row in records(frame)}
    meaning = {row.setting: row.meaning for row in records(frame)}
    notes: list[Block] = []
    if "data.fingerprint" in settings:
        notes.append(
            Note(
                "The models were not asked the same questions. Differences between them below can come from the questions "
                "as well as from the models."
            )
        )
    else:
        notes.append(Note("All models were asked the same questions. Some settings of their studies differ:"))
    return (
        *notes,
        Table(
            columns=("Setting", *models, "What it means here"),
            rows=tuple(
                (name, *(told.get((name, m), words.MISSING) for m in models), meaning[name]) for name in settings
            ),
            title="What differs in how they were studied",
            n_text=len(models) + 2,
        ),
    )
