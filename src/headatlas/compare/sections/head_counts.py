"""How many heads each function has in each model."""

from __future__ import annotations

import pandas as pd

from headatlas.compare.figures import against_chance, likeness, looks, models_of, pair_name, unknown
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import per_scorer
from headatlas.report.charts import dots
from headatlas.report.figures import in_points, one_chart
from headatlas.report.page import Block, Figure, Section, Table
from headatlas.report.tables import Run, records


@comparison_section("counts", order=50)
def counts_section(run: Run) -> Section:
    """Shares of heads by function and model, and whether models agree on which functions have many."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        return (_shares(run, scorer, rows), *_agreement(run, scorer), _table(run, rows))

    return Section(
        id="counts",
        title="How many heads does each function have?",
        intro="Given as a share of all heads, because models differ in size. The lines are 95 % intervals over the questions "
        "that heads were scored on. The buttons choose the scorer, here and below.",
        blocks=per_scorer(run, run.tables["counts"], view, "counts"),
        short="How many heads",
    )


def _shares(run: Run, scorer: str, rows: pd.DataFrame) -> Figure:
    swatches = looks(run)
    spec = dots(
        pd.DataFrame(
            {
                "row": [words.group(name) for name in rows["function"]],
                "series": rows["model"],
                **in_points(rows, "share"),
                "count": rows["count"],
            }
        ),
        swatches=swatches,
        x_title="share of the model's heads (%)",
        rows=[words.group(name) for name in words.functions_in_order(rows["function"])],
        tooltip=(("count", "heads", ",.0f"),),
    )
    label = "Share of heads selected for each function, one mark for each model."
    rules = sorted({words.plain(name, words.SELECTORS) for name in rows["selector"]})
    title = f"Selected heads per function: {words.scorer(scorer)}"
    return one_chart(f"counts-{scorer}", spec, label, title, f"Rule: {words.listing(rules)}.", swatches)


def _agreement(run: Run, scorer: str) -> tuple[Block, ...]:
    rows = likeness(run, scorer, "counts")
    known = rows[rows["value"].notna()]
    why = "fewer than four functions have counts in both models, or all counts are equal."
    if known.empty:
        return unknown(rows, why)
    names = [pair_name(row.model_a, row.model_b) for row in records(known)]
    label = "Rank correlation between two models of how many heads each function has, compared with chance."
    name = f"counts-likeness-{scorer}"
    chart, swatches = against_chance(name, known, names, "rank correlation", label)
    return (
        Figure(
            name,
            (chart,),
            "Do the models agree on which functions have many heads?",
            "1: the same order of functions, 0: unrelated. Chance: all other orders of the functions' names in one model.",
            swatches,
        ),
        *unknown(rows, why),
    )


def _table(run: Run, rows: pd.DataFrame) -> Table:
    models = models_of(run)
    cells = {(row.model, row.function): row for row in records(rows)}

    def cell(model: str, function: str) -> tuple[str, ...]:
        row = cells.get((model, function))
        if row is None:
            return (words.MISSING,) * 3
        return (
            f"{words.count(row.count)} ({words.percent(row.share)})",
            words.number(row.gini),
            words.percent(row.centroid, 0),
        )

    return Table(
        columns=("Function", *(f"{m}: {what}" for m in models for what in ("heads", "Gini", "mean depth"))),
        rows=tuple(
            (words.group(f), *(text for m in models for text in cell(m, f)))
            for f in words.functions_in_order(rows["function"])
        ),
        title="All numbers",
        caption="Gini: 0 if all heads matter equally, 1 if only one head matters. Mean depth of the selected heads: 0 % is the "
        "first layer, 100 % the last.",
        folded=True,
    )
