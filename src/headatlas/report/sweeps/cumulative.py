"""The cumulative sweep: accuracy as a ranking is removed head by head, beside random orders."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import lines
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.figures import one_per_function
from headatlas.report.page import Block, Figure, Note, Swatch
from headatlas.report.sweeps.words import functions_of, removed
from headatlas.report.tables import only
from headatlas.results.sweep_files import Sweep

RANKED, RANDOM = Swatch("Highest score first", BLUE, "circle"), Swatch("Random order", GREY, "square")


def cumulative_blocks(sweep: Sweep) -> list[Block]:
    """The blocks of the cumulative sweep."""
    table = sweep.table

    def draw(part: pd.DataFrame) -> dict[str, Any]:
        frame = part[["low", "high"]].assign(
            x=part["k"], value=part["accuracy"],
            series=[RANKED.text if order == "ranking" else RANDOM.text for order in part["order"]],
        )  # fmt: skip
        return lines(
            frame,
            swatches=(RANKED, RANDOM),
            x_title="heads removed",
            y_title="right answers",
            y_domain=(0.0, 1.0),
            height=200,
        )

    def label(title: str, part: pd.DataFrame) -> str:
        return f"{title}: accuracy as heads are removed one after the other, by score and in random order."

    return [
        *(Note(_one_curve(only(table, function=name))) for name in functions_of(table)),
        Figure(
            "sweep-cumulative",
            one_per_function("sweep-cumulative", table, draw, label),
            f"A ranking removed head by head: {words.scorer(sweep.scorer)}",
            f"Bands: 95 % intervals over scenes; of random orders, where they lie. {removed(sweep)} The ranking is of split "
            f"{sweep.scored_on}." + (" Exploratory: the ranking was made on these questions." if sweep.chosen_here else ""),
            (RANKED, RANDOM),
            min_width=330,
        ),
    ]  # fmt: skip


def _one_curve(part: pd.DataFrame) -> str:
    ranking, random = only(part, order="ranking").set_index("k"), only(part, order="random").set_index("k")
    title, doses = words.group(part["function"].iloc[0]), [int(k) for k in random.index if k]
    tenth = max(1, round(0.1 * float(ranking.index.max())))
    k = max([dose for dose in doses if dose <= tenth], default=min(tenth, int(ranking.index.max())))
    before, after = ranking["accuracy"].loc[0], ranking["accuracy"].loc[k]
    who = "the first head" if k == 1 else f"the first {words.count(k)} heads"
    text = f"{title}: without {who} of the ranking, accuracy {words.becomes(before, after)}"
    if k in random.index:
        text += f"; without as many heads in random order it is {words.percent(random['accuracy'].loc[k])}"
    odd = ranking["unparsable"].loc[k]
    return text + f". {words.percent(odd)} of the answers are then unreadable."
