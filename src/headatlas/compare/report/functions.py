"""Do models agree on which functions rely on the same heads? Knows functions.csv and likeness.csv."""

from __future__ import annotations

import pandas as pd

from headatlas.compare.report.common import (
    beside_chance,
    drawn,
    likeness,
    likeness_table,
    models_of,
    pair_name,
    unknown,
)
from headatlas.report import words
from headatlas.report.page import Block, Figure, Section
from headatlas.report.sections.common import per_scorer
from headatlas.report.sections.figures import matrix_chart, ramp_to
from headatlas.report.tables import Run, only, records

WHY = "a scorer gave fewer than four functions scores in both models."


def functions_section(run: Run) -> Section:
    """Each model's function-by-function matrix, and how alike the matrices are."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        found = likeness(run, scorer, "functions")
        return (
            drawn(_matrices(run, scorer, rows), "no two functions were scored in any model."),
            *_likeness(scorer, found),
            *unknown(found, WHY),
            likeness_table(found, {"functions": "Correlation of the matrices"}),
        )

    return Section(
        id="functions",
        title="Do the same functions share heads?",
        intro="Head 5 of layer 3 in one model has nothing to do with head 5 of layer 3 in another, so rankings of heads cannot "
        "be compared across models. What can be: within one model, do two functions rank the heads alike? If yes, they rely on "
        "the same heads. These likenesses form a pattern, and patterns of two models can be compared.",
        blocks=per_scorer(run, run.tables["functions"], view, "functions"),
        short="Overlap of rankings",
    )


def _matrices(run: Run, scorer: str, rows: pd.DataFrame) -> Figure:
    order = words.functions_in_order([*rows["function_a"], *rows["function_b"]])
    charts = []
    for i, model in enumerate(models_of(run)):
        cells = []
        for row in records(only(rows, model=model)):
            exact = words.interval(words.number(row.low), words.number(row.high))
            for a, b in ((row.function_a, row.function_b), (row.function_b, row.function_a)):
                told = f"{words.number(row.spearman)}" + (f" ({exact})" if exact else "")
                pair = f"{words.group(a)} and {words.group(b)}"
                value = {"value": row.spearman, "text": words.number(row.spearman, 1), "exact": told, "pair": pair}
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
        "1: the same order of heads, 0: unrelated, below 0: heads of the one are least of the other.",
        ramp=ramp_to(1.0, "rank correlation over the model's heads"),
        min_width=340,
    )


def _likeness(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return ()
    names = [pair_name(row.model_a, row.model_b) for row in records(rows)]
    label = "Rank correlation between the function-by-function matrices of two models, beside chance."
    name = f"functions-likeness-{scorer}"
    chart, swatches = beside_chance(name, rows, names, "rank correlation of the matrices", label)
    return (
        Figure(
            name,
            (chart,),
            "Are the patterns alike across models?",
            "1: the same functions go together in both models, 0: unrelated. Chance: the functions' names dealt anew in one "
            "model, all orders. One model, other questions: the same measure between two halves of a model's own questions, the "
            "most one can expect.",
            swatches,
        ),
    )
