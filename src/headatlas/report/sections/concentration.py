"""How much of the damage of silencing every head is done by a function's best few."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import per_scorer
from headatlas.report.charts import dots
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.figures import by_order, one_chart
from headatlas.report.page import Block, Figure, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, records

BEST = Swatch("The best heads", BLUE, "circle")
RANDOM = Swatch("As many random heads", GREY, "square")


@section("concentration", order=170)
def concentration_section(run: Run) -> Section:
    """The damage of the best heads of each function as a share of that of all heads."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        most = rows[rows["k"] == rows["k"].max()]
        return (_figure(most, scorer), _table(rows))

    return Section(
        id="concentration",
        title="Are a few heads enough?",
        intro="A function is sparse if silencing a few heads does most of the damage that silencing every "
        "head does. Counting selected heads would not show this, because with more questions, more "
        "heads pass any test.",
        blocks=per_scorer(run, run.tables["concentration"], view, "concentration"),
        short="Few heads",
    )


def _figure(rows: pd.DataFrame, scorer: str) -> Figure:
    names = words.functions_in_order(rows["function"])
    common = {"row": [words.short(name) for name in rows["function"]], "k": rows["k"], "n": rows["n"]}
    best = pd.DataFrame(
        {**common, "series": BEST.text, **{key: 100 * rows[source] for key, source in
         (("value", "ratio"), ("low", "low"), ("high", "high"))}}
    )  # fmt: skip
    random = pd.DataFrame(
        {**common, "series": RANDOM.text, "value": 100 * rows["random_ratio"], "low": None, "high": None}
    )
    spec = dots(
        pd.concat([best, random.astype({"low": float, "high": float})], ignore_index=True),
        swatches=(BEST, RANDOM),
        x_title="% of the damage of silencing all heads",
        rows=[words.short(name) for name in names],
        zero=True,
        tooltip=(("k", "heads silenced", ",.0f"), ("n", "n", ",.0f")),
    )
    k = words.count(rows["k"].max())
    title = f"Damage of the best {k} heads: {words.scorer(scorer)}"
    label = (
        f"Share of the damage of silencing all heads done by the best {k} heads of each function, and by random heads."
    )
    return one_chart(f"concentration-{scorer}", spec, label, title, swatches=(BEST, RANDOM))


def _table(rows: pd.DataFrame) -> Table:
    rows = by_order(rows, function=words.functions_in_order(rows["function"]), k=None)
    columns = (
        "Function", "Heads", "Points lost", "Without all heads", "Share", "95 % interval", "Random heads", "Beyond random",
        "Lost answers unreadable", "n",
    )  # fmt: skip
    return Table(
        columns=columns,
        rows=tuple(
            (
                words.group(row.function),
                words.count(row.k),
                words.points(row.drop),
                words.points(row.all_drop),
                words.percent(row.ratio),
                f"{words.percent(row.low)} to {words.percent(row.high)}" if words.known(row.low) else "",
                words.percent(row.random_ratio),
                words.points(row.beyond),
                words.percent(row.form),
                words.count(row.n),
            )
            for row in records(rows)
        ),
        title="All numbers",
        n_text=1,
        folded=True,
    )
