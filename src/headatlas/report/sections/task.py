"""Can the model do the task: accuracy with and without the image, and the Spatial Scores."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.charts import dots
from headatlas.report.charts.theme import BLUE, GREY, ORANGE, RED
from headatlas.report.figures import in_points, legend, one_chart
from headatlas.report.one_task import is_one_task
from headatlas.report.page import Block, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

LOOKS = {
    "gold": (BLUE, "circle"),
    "own": (ORANGE, "diamond"),
    "gold_no_image": (GREY, "square"),
    "own_no_image": (RED, "triangle-up"),
}


@section("task", order=210)
def task_section(run: Run) -> Section:
    """Accuracy by function and by type of question, with and without the image; the Spatial Score and its variants."""
    baseline, metrics = run.tables["baseline"], run.tables["metrics"]
    blocks: list[Block] = [*_left_out(run.tables["left_out"]), *gap(run, "baseline")]
    titles = {
        "function": ("Steps by function, and final answers", ["final", "function"]),
        "family": ("Final answers by type of question", ["family"]),
    }
    for name, (title, kinds) in titles.items():
        rows = only(baseline, group_kind=kinds)
        if len(rows):
            blocks.append(_accuracy(rows, name, title))
    if len(baseline):
        blocks.append(_unparsable(baseline))
    blocks += () if is_one_task(run) else gap(run, "metrics")  # they are about the spatial functions
    if len(metrics):
        blocks.append(_metrics(metrics))
    return Section(
        id="task",
        title="Can the model do the task?",
        intro="This section shows how often the unchanged model is right on the evaluation questions. The "
        "difference between a result with and without the image is what the model gains by seeing.",
        blocks=tuple(blocks),
        short="Can it do the task?",
    )


def _left_out(rows: pd.DataFrame) -> tuple[Block, ...]:
    """Conditions under which the model could not be evaluated, in words and as a table; empty if there are none."""
    if rows.empty:
        return ()
    questions, arms = (only(rows, what=what) for what in ("question", "arm"))
    notes = []
    if len(questions):
        notes.append(
            f"{words.count(len(questions))} questions are left out of all numbers, because the model's processor refuses them."
        )
    for name in arms["name"]:
        shown = words.CONTEXTS.get(f"gold_{name}", words.plain(name, words.INPUT_ARMS))
        notes.append(f"The model cannot be asked in the following way, so nothing was measured for it: {shown}.")
    table = Table(
        columns=("Left out", "Split", "Reason"),
        rows=tuple((row.name, row.split, row.reason) for row in records(rows)),
        title="Left out",
        n_text=3,
        folded=True,
    )
    return Note(" ".join(notes)), table


def _accuracy(rows: pd.DataFrame, kind: str, title: str) -> Figure:
    swatches = legend(rows["context"], words.CONTEXTS, LOOKS)
    names = words.in_order(rows["group"], ("final", *FUNCTIONS))
    spec = accuracy_dots(rows, "context", words.CONTEXTS, swatches, [words.group(name) for name in names])
    label = f"{title}: right answers in per cent with 95 % intervals, for {words.listing([s.text for s in swatches])}."
    return one_chart(f"baseline-{kind}", spec, label, title, swatches=swatches)


def accuracy_dots(
    rows: pd.DataFrame, series: str, titles: dict[str, str], swatches: tuple[Swatch, ...], order: list[str]
) -> dict[str, object]:
    """Accuracies as dots: one row for each group, one mark for each value of the column `series`."""
    frame = pd.DataFrame(
        {
            "row": [words.group(name) for name in rows["group"]],
            "series": [titles.get(name, str(name)) for name in rows[series]],
            **in_points(rows, "accuracy"),
            "n": rows["n"],
            "unparsable": 100 * rows["unparsable"],
        }
    )
    return dots(
        frame,
        swatches=swatches,
        x_title="right answers (%)",
        rows=order,
        domain=(0.0, 100.0),
        tooltip=(("unparsable", "unreadable answers (%)", ".1f"), ("n", "n", ",.0f")),
    )


def _unparsable(baseline: pd.DataFrame) -> Note:
    worst = baseline["unparsable"].max()
    if not words.known(float(worst)):
        return Note("The share of answers that could not be read was not recorded.")
    return Note(f"Unreadable answers count as wrong. Their largest share in any group is {words.percent(worst)}.")


def spatial_score(rows: pd.DataFrame, factor: float = 1.0) -> str:
    """The first row's metric with its interval, such as "78.5 (76.5 to 80.5)"; a dash without rows."""
    if rows.empty:
        return words.MISSING
    value, low, high = (words.number(factor * rows.iloc[0][key], 1) for key in ("value", "low", "high"))
    return words.with_interval(value, words.interval(low, high))


def _metrics(metrics: pd.DataFrame) -> Table:
    # Spatial Scores are on a scale of 0 to 100; a run that stores shares is brought to it.
    factor = 100.0 if metrics["value"].abs().max() <= 1.0 else 1.0
    conditions = words.in_order(metrics["condition"], LOOKS)
    names = words.in_order(metrics["metric"], words.METRICS)
    return Table(
        columns=("Condition", *(words.plain(name, words.METRICS) for name in names), "n"),
        rows=tuple(
            (
                words.plain(condition, words.CONTEXTS),
                *(spatial_score(only(metrics, condition=condition, metric=name), factor) for name in names),
                words.count(only(metrics, condition=condition)["n"].max()),
            )
            for condition in conditions
        ),
        title="Spatial Scores",
        folded=True,
        caption="0 to 100, with 95 % intervals. The Spatial Score is the mean of the accuracies on spatial perception and on "
        "relational reasoning. “Whole chains right” requires that every spatial step and the final answer are right, with the "
        "model's own earlier answers.",
    )
