"""Can the models do the task: accuracy by function, with and without the image. Knows accuracy.csv."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.compare.report.common import looks
from headatlas.report import words
from headatlas.report.charts import dots
from headatlas.report.page import Block, Chart, Figure, Section, Swatch
from headatlas.report.sections.common import gap
from headatlas.report.sections.figures import in_points
from headatlas.report.tables import Run, only

PAIRS = {
    "own": ("own", "own_no_image", "With the model's own earlier answers"),
    "gold": ("gold", "gold_no_image", "With the right earlier answers given"),
}


def task_section(run: Run) -> Section:
    """Accuracies of all models, seeing and blind."""
    frame = only(run.tables["accuracy"], group_kind=["function", "final"])
    blocks: list[Block] = [*gap(run, "accuracy")]
    for name, (seeing, blind, title) in PAIRS.items():
        rows = only(frame, context=[seeing, blind])
        if len(rows):
            blocks.append(_figure(rows, name, (seeing, blind), title, looks(run)))
    return Section(
        id="task",
        title="Can the models do the task?",
        intro="How often each model is right before anything is changed, by function and for the final answer. The distance "
        "between a result and the same result without the image is what a model owes to seeing; heads of a function that a model "
        "cannot do tell little.",
        blocks=tuple(blocks),
        short="Can they do the task?",
    )


def _figure(
    rows: pd.DataFrame, name: str, contexts: tuple[str, str], title: str, swatches: tuple[Swatch, ...]
) -> Figure:
    order = [words.group(group) for group in words.in_order(rows["group"], ("final", *FUNCTIONS))]
    charts = []
    for context, heading in zip(contexts, ("Seeing the image", "Without the image"), strict=True):
        part = only(rows, context=context)
        if part.empty:
            continue
        spec = dots(
            pd.DataFrame(
                {
                    "row": [words.group(group) for group in part["group"]],
                    "series": part["model"],
                    **in_points(part, "accuracy"),
                    "unparsable": 100 * part["unparsable"],
                    "n": part["n"],
                }
            ),
            swatches=swatches,
            x_title="right answers (%)",
            rows=order,
            domain=(0.0, 100.0),
            tooltip=(("unparsable", "unreadable answers (%)", ".1f"), ("n", "n", ",.0f")),
        )
        label = f"{title}, {heading.lower()}: right answers of every model by function, with 95 % intervals."
        charts.append(Chart(f"task-{name}-{context}", spec, label, heading))
    return Figure(f"task-{name}", tuple(charts), title, swatches=swatches, min_width=380)
