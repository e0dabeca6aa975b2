"""Does losing a function's heads cost the same functions in every model? Knows damage.csv and likeness.csv."""

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
from headatlas.report.sections.negative import damage_chart, damage_ramp
from headatlas.report.tables import Run, only, records

TITLES = {
    "damage": "Correlation of the matrices",
    "damage_pairs": "The same without the means of rows and columns",
}
WHY = "fewer than four functions have heads to silence and steps in both models."


def damage_section(run: Run) -> Section:
    """Each model's damage matrix, and how alike they are."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        both = likeness(run, scorer, ["damage", "damage_pairs"])
        return (
            drawn(_matrices(run, scorer, rows), "no function has heads to silence in any model."),
            *_likeness(scorer, both),
            *unknown(only(both, what="damage"), WHY),
            likeness_table(both, TITLES),
        )

    return Section(
        id="damage",
        title="Does silencing break the same things?",
        intro="Each row silences the heads of one function, each column shows what that costs the steps of a function. The heads "
        "differ from model to model; what their loss breaks can be compared.",
        blocks=per_scorer(run, run.tables["damage"], view, "damage"),
        short="Damage",
    )


def _matrices(run: Run, scorer: str, rows: pd.DataFrame) -> Figure:
    largest = 100 * float(rows["drop"].abs().max())
    charts = []
    for i, model in enumerate(models_of(run)):
        part = only(rows, model=model)
        part = part[part["k"] > 0]
        if part.empty:
            continue
        label = f"{model}: points lost on each function's steps without each function's heads."
        charts.append(damage_chart(f"damage-{scorer}-{i}", part, largest, label, model))
    return Figure(
        f"damage-{scorer}",
        tuple(charts),
        f"Damage: {words.scorer(scorer)}",
        "A row that is missing had no heads to silence.",
        ramp=damage_ramp(largest),
        min_width=340,
    )


def _likeness(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return ()
    charts, swatches = [], ()
    for what, title in TITLES.items():
        part = only(rows, what=what)
        if part.empty:
            continue
        names = [pair_name(row.model_a, row.model_b) for row in records(part)]
        label = f"{title}: rank correlation between the damage matrices of two models, beside chance."
        chart, swatches = beside_chance(
            f"damage-likeness-{scorer}-{what}", part, names, "rank correlation", label, title=title
        )
        charts.append(chart)
    return (
        Figure(
            f"damage-likeness-{scorer}",
            tuple(charts),
            "Is the damage alike across models?",
            "Left: cell by cell. It is high already if the same functions are fragile in both models, or the same sets large. "
            "Right: with each row's and column's mean taken away, whether the same heads-and-steps pairs stand out. Chance: the "
            "functions' names dealt anew in one model, all orders.",
            swatches,
            min_width=380,
        ),
    )
