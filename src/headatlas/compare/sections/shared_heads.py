"""Do models agree on which functions rely on the same heads?"""

from __future__ import annotations

import pandas as pd

from headatlas.compare.figures import (
    against_chance,
    drawn,
    likeness,
    likeness_table,
    models_of,
    pair_name,
    unknown,
)
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import per_scorer
from headatlas.report.figures import matrix_chart, ramp_to
from headatlas.report.page import Block, Figure, Section
from headatlas.report.tables import Run, only, records

WHY = "a scorer gave fewer than four functions scores in both models."


@comparison_section("functions", order=70)
def functions_section(run: Run) -> Section:
    """Each model's function-by-function matrix, and how alike the matrices are."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        pairs = likeness(run, scorer, "functions")
        return (
            drawn(_matrices(run, scorer, rows), "no model has scores for two functions."),
            *_likeness(scorer, pairs),
            *unknown(pairs, WHY),
            likeness_table(pairs, {"functions": "Correlation of the matrices"}),
        )

    return Section(
        id="functions",
        title="Do the same functions share heads?",
        intro="Head 5 of layer 3 in one model does not correspond to head 5 of layer 3 in another, so heads cannot be compared "
        "across models. But within one model, two functions that rank the heads alike rely on the same heads. Which functions do "
        "so forms a pattern, and the patterns of two models can be compared.",
        blocks=per_scorer(run, run.tables["functions"], view, "functions"),
        short="Shared heads",
    )


def _matrices(run: Run, scorer: str, rows: pd.DataFrame) -> Figure:
    order = words.functions_in_order([*rows["function_a"], *rows["function_b"]])
    charts = []
    for i, model in enumerate(models_of(run)):
        cells = []
        for row in records(only(rows, model=model)):
            exact = words.interval(words.number(row.low), words.number(row.high))
            for a, b in ((row.function_a, row.function_b), (row.function_b, row.function_a)):
                with_interval = words.with_interval(words.number(row.spearman), exact)
                pair = f"{words.group(a)} and {words.group(b)}"
                value = {
                    "value": row.spearman,
                    "text": words.number(row.spearman, 1),
                    "exact": with_interval,
                    "pair": pair,
                }
                cells.append({"row": words.short(a), "column": words.short(b), **value})
        if not cells:
            continue
        charts.append(
            matrix_chart(
                f"functions-{scorer}-{i}", pd.DataFrame(cells), f"{model}: rank correlations between functions.",
                rows=order, columns=order, largest=1.0, title=model,
                tooltip=(("pair", " "), ("exact", "rank correlation over heads (95 % interval)")),
            )
        )  # fmt: skip
    return Figure(
        f"functions-{scorer}",
        tuple(charts),
        f"Which functions rank the heads alike: {words.scorer(scorer)}",
        "1: the same order of heads, 0: unrelated, below 0: the best heads of one are the least of the other.",
        ramp=ramp_to(1.0, "rank correlation over the model's heads"),
        min_width=340,
    )


def _likeness(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return ()
    names = [pair_name(row.model_a, row.model_b) for row in records(rows)]
    label = "Rank correlation between the function-by-function matrices of two models, compared with chance."
    name = f"functions-likeness-{scorer}"
    chart, swatches = against_chance(name, rows, names, "rank correlation of the matrices", label)
    return (
        Figure(
            name,
            (chart,),
            "Are the patterns alike across models?",
            "1: the same functions go together in both models, 0: unrelated. Chance: all other orders of the functions' names in "
            "one model. Same model, other questions: the measure between two halves of a model's own questions.",
            swatches,
        ),
    )
