"""Emphasising heads: steering with its controls, and how its strength was chosen."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import per_scorer, point_interval
from headatlas.report.charts import dots, lines
from headatlas.report.charts.theme import BLUE, GREEN, GREY, INK, ORANGE, PINK
from headatlas.report.figures import SMALL, by_order, in_points, legend, one_chart, one_per_function
from headatlas.report.page import Block, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

LOOKS = {
    "steer": (BLUE, "circle"),
    "random_direction": (GREY, "square"),
    "flipped": (ORANGE, "diamond"),
    "shuffled": (GREEN, "triangle-up"),
    "random_heads": (PINK, "triangle-down"),
}
TUNED = Swatch("Accuracy on split T", BLUE)


@section("positive", order=150)
def positive_section(run: Run) -> Section:
    """The gain from steering a function's heads towards right answers."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        swatches = legend(rows["arm"], words.STEERING_ARMS, LOOKS)
        several = rows.groupby(["function", "arm"])["alpha"].nunique().max() > 1
        return ((_curves if several else _dots)(rows, scorer, swatches), _table(rows))

    strengths, positive = run.tables["tuning"], run.tables["positive"]
    return Section(
        id="positive",
        title="Does emphasising the heads help?",
        intro="The output of each head is moved a little in the direction that separates its right from its wrong answers. The "
        "gain counts only if it exceeds that of random, flipped and shuffled directions and of random heads.",
        blocks=(
            *per_scorer(run, positive, view, "positive"),
            *(_reasons(run.tables["steering"]) if positive.empty else ()),
            *(
                per_scorer(run, only(strengths, what="alpha") if len(strengths) else strengths, _tuning, "tuning")
                if len(positive) or len(strengths)
                else ()
            ),
        ),
        short="Emphasising heads",
    )


def _reasons(sources: pd.DataFrame) -> tuple[Note, ...]:
    """Why there is no direction to steer along, each reason once."""
    reasons = dict.fromkeys(str(reason) for reason in sources["reason"].dropna() if reason)
    return tuple(Note(f"{reason}.", weak=True) for reason in reasons)


def _tuning(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
    def draw(part: pd.DataFrame) -> dict[str, Any]:
        part = part.sort_values("value")
        frame = pd.DataFrame(
            {"x": part["value"], "series": TUNED.text, "value": part["accuracy"], "mark": part["chosen"]}
        )
        return lines(
            frame.assign(low=None, high=None),
            swatches=(TUNED,),
            x_title="strength α",
            y_title="",
            height=110,
            y_format=".1%",
        )

    def label(title: str, part: pd.DataFrame) -> str:
        chosen = words.listing([words.number(v) for v in part[part["chosen"]]["value"]]) or "none"
        return f"{title}: accuracy on split T by strength; chosen: {chosen}."

    name = f"tuning-{scorer}"
    charts = one_per_function(name, rows, draw, label)
    caption = "Strengths were tried on split T only. The circled strength was then used once, on split E."
    swatches = (TUNED, Swatch("Chosen", INK, "ring"))
    return (Figure(name, charts, "How the strength was chosen", caption, swatches, min_width=SMALL),)


def _dots(rows: pd.DataFrame, scorer: str, swatches: tuple[Swatch, ...]) -> Figure:
    frame = pd.DataFrame(
        {
            "row": [words.group(name) for name in rows["function"]],
            "series": [words.plain(arm, words.STEERING_ARMS) for arm in rows["arm"]],
            **in_points(rows, "gain"),
            "alpha": rows["alpha"],
            "q": rows["q"],
            "off": 100 * rows["off_task_gain"],
            "n": rows["n"],
        }
    )
    spec = dots(
        frame,
        swatches=swatches,
        x_title="points gained on own steps",
        rows=[words.group(name) for name in words.functions_in_order(rows["function"])],
        zero=True,
        tooltip=(
            ("alpha", "strength α", "~g"),
            ("q", "q", ".3f"),
            ("off", "points gained on other functions", ".1f"),
            ("n", "n", ",.0f"),
        ),
    )
    label = "Points gained by steering and by its controls, for each function."
    title = f"Points gained by steering: {words.scorer(scorer)}"
    caption = "Right of 0: the model became better. Compare the blue dot with the controls below it."
    return one_chart(f"positive-{scorer}", spec, label, title, caption, swatches)


def _curves(rows: pd.DataFrame, scorer: str, swatches: tuple[Swatch, ...]) -> Figure:
    def draw(part: pd.DataFrame) -> dict[str, Any]:
        part = part.sort_values("alpha")
        series = [words.plain(arm, words.STEERING_ARMS) for arm in part["arm"]]
        frame = pd.DataFrame({"x": part["alpha"], "series": series, **in_points(part, "gain")})
        return lines(frame, swatches=swatches, x_title="strength α", y_title="", y_format="+.1f", zero=True)

    def label(title: str, part: pd.DataFrame) -> str:
        return f"{title}: points gained by strength, for steering and its controls."

    name = f"positive-{scorer}"
    title = f"Points gained by steering: {words.scorer(scorer)}"
    return Figure(name, one_per_function(name, rows, draw, label), title, swatches=swatches, min_width=SMALL)


def _table(rows: pd.DataFrame) -> Table:
    arms = words.in_order(rows["arm"], LOOKS)
    rows = by_order(rows, function=words.functions_in_order(rows["function"]), alpha=None, arm=arms)
    columns = (
        "Function", "Arm", "α", "Before", "After", "Points gained", "95 % interval", "p", "q", "Unreadable after",
        "Points gained on other functions", "n",
    )  # fmt: skip
    return Table(
        columns=columns,
        rows=tuple(
            (
                words.group(row.function),
                words.plain(row.arm, words.STEERING_ARMS),
                words.number(row.alpha),
                words.percent(row.before),
                words.percent(row.after),
                words.points(row.gain),
                point_interval(row.low, row.high),
                words.p_value(row.p),
                words.p_value(row.q),
                words.percent(row.unparsable_after),
                words.points(row.off_task_gain),
                words.count(row.n),
            )
            for row in records(rows)
        ),
        title="All numbers",
        n_text=2,
        folded=True,
    )
