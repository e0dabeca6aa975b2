"""Can the models do the task: accuracy by function, with and without the image."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.compare.figures import looks
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.page import Block, Chart, Figure, Section, Swatch
from headatlas.report.sections.task import accuracy_dots
from headatlas.report.tables import Run, only

PAIRS = {
    "own": ("own", "own_no_image", "With the model's own earlier answers"),
    "gold": ("gold", "gold_no_image", "With the right earlier answers given"),
}


@comparison_section("task", order=30)
def task_section(run: Run) -> Section:
    """The accuracy of every model, with and without the image."""
    frame = only(run.tables["accuracy"], group_kind=["function", "final"])
    blocks: list[Block] = [*gap(run, "accuracy")]
    for name, (seeing, blind, title) in PAIRS.items():
        rows = only(frame, context=[seeing, blind])
        if len(rows):
            blocks.append(_figure(rows, name, (seeing, blind), title, looks(run)))
    return Section(
        id="task",
        title="Can the models do the task?",
        intro="How often each unchanged model is right, by function and for the final answer. The difference between a result "
        "with and without the image is what the model gains by seeing. Heads of a function that a model cannot do say little.",
        blocks=tuple(blocks),
        short="Can they do the task?",
    )


def _figure(
    rows: pd.DataFrame, name: str, contexts: tuple[str, str], title: str, swatches: tuple[Swatch, ...]
) -> Figure:
    order = [words.group(group) for group in words.in_order(rows["group"], ("final", *FUNCTIONS))]
    charts = []
    for context, heading in zip(contexts, ("With the image", "Without the image"), strict=True):
        part = only(rows, context=context)
        if part.empty:
            continue
        spec = accuracy_dots(part, "model", {}, swatches, order)
        label = f"{title}, {heading.lower()}: right answers of every model by function, with 95 % intervals."
        charts.append(Chart(f"task-{name}-{context}", spec, label, heading))
    return Figure(f"task-{name}", tuple(charts), title, swatches=swatches, min_width=380)
