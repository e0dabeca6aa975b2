"""The models, and how their studies differ."""

from __future__ import annotations

import pandas as pd

from headatlas.compare.figures import models_of
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.one_task import ONE_TASK
from headatlas.report.page import Block, Note, Section, Table
from headatlas.report.sections.task import spatial_score
from headatlas.report.tables import Run, only, records

NOT_RECORDED = "not recorded"


@comparison_section("models", order=10)
def models_section(run: Run) -> Section:
    """A table of the models, and every setting in which their studies differ."""
    return Section(
        id="models",
        title="The models",
        intro="The models compared here, with the size of their language model, to which all heads on this page belong. With "
        "grouped queries, several heads share keys and values, but each is still a head of its own.",
        blocks=(_models(run), *_differences(run)),
        short="The models",
    )


def _models(run: Run) -> Table:
    spatial = not (run.tables["models"]["functions"] == ONE_TASK).all()
    return Table(
        columns=(
            "Model",
            "Family",
            "Heads",
            "Layers × heads",
            "Query heads for each key head",
            "Head size",
            *(("Spatial Score",) if spatial else ()),
        ),
        rows=tuple(
            (
                row.model,
                row.family or NOT_RECORDED,
                words.count(row.total),
                f"{words.count(row.layers)} × {words.count(row.heads_per_layer)}",
                _grouped(row.heads_per_layer, row.kv_heads),
                words.count(row.d_head),
                *((_spatial_score(run.tables["metrics"], row.model),) if spatial else ()),
            )
            for row in records(run.tables["models"])
        ),
        caption="Spatial Score: the mean of the accuracies on spatial perception and relational reasoning, with the model's own "
        "earlier answers, 0 to 100, with its 95 % interval."
        if spatial
        else "",
        n_text=2,
    )


def _grouped(heads: float | int, kv_heads: float | int) -> str:
    if not words.known(kv_heads) or kv_heads <= 0:
        return NOT_RECORDED
    return "1 (not grouped)" if kv_heads >= heads else words.number(heads / kv_heads, 0)


def _spatial_score(metrics: pd.DataFrame, model: str) -> str:
    rows = only(metrics, model=model, condition="own", metric="SS")
    return spatial_score(rows)


def _differences(run: Run) -> tuple[Block, ...]:
    frame = run.tables["differences"]
    if frame.empty:
        return (Note("All models got the same questions and the same settings."),)
    settings = list(dict.fromkeys(frame["setting"]))
    models = models_of(run)
    values = {(row.setting, row.model): row.value for row in records(frame)}
    meaning = {row.setting: row.meaning for row in records(frame)}
    notes: list[Block] = []
    if "data.fingerprint" in settings:
        notes.append(
            Note(
                "The models did not get the same questions. Differences between them can come from the questions as well as "
                "from the models."
            )
        )
    else:
        notes.append(Note("All models got the same questions, but some settings of their studies differ."))
    return (
        *notes,
        Table(
            columns=("Setting", *models, "What it means"),
            rows=tuple(
                (name, *(values.get((name, m), words.MISSING) for m in models), meaning[name]) for name in settings
            ),
            title="How their studies differ",
            n_text=len(models) + 2,
        ),
    )
