"""Does silencing a function's heads damage the same functions in every model?"""

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
from headatlas.report.page import Block, Figure, Section
from headatlas.report.sections.negative import damage_chart, damage_ramp
from headatlas.report.tables import Run, only, records

TITLES = {
    "damage": "Correlation of the matrices",
    "damage_pairs": "The same without row and column means",
}
WHY = "fewer than four functions have heads to silence and steps in both models."


@comparison_section("damage", order=80)
def damage_section(run: Run) -> Section:
    """The damage matrix of each model, and how alike they are."""

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
        intro="Each row silences the heads of one function. Each column shows the cost for the steps of a function. The heads "
        "differ between models, but what breaks without them can be compared.",
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
        "A function without a row had no heads to silence.",
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
        label = f"{title}: rank correlation between the damage matrices of two models, compared with chance."
        chart, swatches = against_chance(
            f"damage-likeness-{scorer}-{what}", part, names, "rank correlation", label, title=title
        )
        charts.append(chart)
    return (
        Figure(
            f"damage-likeness-{scorer}",
            tuple(charts),
            "Is the damage alike across models?",
            "First: cell by cell. This is high already if the same functions are fragile in both models, or the same sets large. "
            "Second: without the mean of each row and column, that is, whether the same pairs of heads and steps stand out. "
            "Chance: all other orders of the functions' names in one model.",
            swatches,
            min_width=380,
        ),
    )
