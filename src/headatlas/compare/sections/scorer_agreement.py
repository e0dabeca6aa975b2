"""Do the scorers agree within each model?"""

from __future__ import annotations

import pandas as pd

from headatlas.compare.figures import looks, models_of
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.charts import dots
from headatlas.report.page import Block, Chart, Figure, Section, Table
from headatlas.report.tables import Run, only


@comparison_section("agreement", order=40)
def agreement_section(run: Run) -> Section:
    """Rank correlation between every two scorers by function, one mark for each model."""
    frame = run.tables["scorers"]
    blocks: tuple[Block, ...] = gap(run, "scorers") if frame.empty else (_figure(run, frame), _table(run, frame))
    return Section(
        id="agreement",
        title="Do the scorers agree within each model?",
        intro="Do two ways of finding heads put the heads of a model in the same order? If not, results on a function's heads "
        "depend on how they were found.",
        blocks=blocks,
        short="Do scorers agree?",
    )


def _figure(run: Run, frame: pd.DataFrame) -> Figure:
    swatches = looks(run)
    charts = []
    for i, (a, b) in enumerate(dict.fromkeys(zip(frame["scorer_a"], frame["scorer_b"], strict=True))):
        rows = only(frame, scorer_a=a, scorer_b=b)
        spec = dots(
            pd.DataFrame(
                {
                    "row": [words.short(name) for name in rows["function"]],
                    "series": rows["model"],
                    "value": rows["spearman"],
                    "low": rows["low"],
                    "high": rows["high"],
                    "top": 100 * rows["top5_overlap"],
                }
            ),
            swatches=swatches,
            x_title="rank correlation over heads",
            rows=[words.short(name) for name in words.functions_in_order(rows["function"])],
            zero=True,
            domain=(-1.0, 1.0),
            x_format=".2~f",
            tooltip=(("top", "shared of the top five (%)", ".0f"),),
        )
        title = f"{words.scorer(a)} and {words.scorer(b)}"
        charts.append(Chart(f"scorers-{i}", spec, f"{title}: rank correlation by function and model.", title))
    caption = "1: the same order of heads, 0: unrelated. Bars are 95 % intervals over resampled heads."
    return Figure("scorers", tuple(charts), "Rank correlation between scorers", caption, swatches, min_width=290)


def _table(run: Run, frame: pd.DataFrame) -> Table:
    rows = []
    for a, b in dict.fromkeys(zip(frame["scorer_a"], frame["scorer_b"], strict=True)):
        for model in models_of(run):
            part = only(frame, scorer_a=a, scorer_b=b, model=model)
            if part.empty:
                continue
            means = [
                words.number(part["spearman"].mean()),
                words.number(part["spearman"].min()),
                words.number(part["spearman"].max()),
            ]
            shared = [words.percent(part[c].mean(), 0) for c in ("top5_overlap", "top5_expected")]
            rows.append((words.scorer(a), words.scorer(b), model, *means, *shared))
    return Table(
        columns=("Scorer", "Other scorer", "Model", "Mean", "Lowest", "Highest", "Shared of top five", "By chance"),
        rows=tuple(rows),
        title="Over all functions",
        n_text=3,
    )
