"""The sweep of single heads: a ranked chart and a map for each function."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import dots, head_map
from headatlas.report.charts.maps import CELLS_AS_SVG
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.figures import SMALL, one_per_function, ramp_to
from headatlas.report.page import Block, Chart, Figure, Note, Swatch
from headatlas.report.sweeps.words import functions_of, how, points_between
from headatlas.report.tables import only, records
from headatlas.results.sweep_files import Sweep

TOP = 8
"""Heads in a ranked chart."""

ONE, OTHERS = Swatch("Without this head", BLUE, "circle"), Swatch("Without another head", GREY, "square")
OTHER_ROW = "the others"


def heads_blocks(sweep: Sweep) -> list[Block]:
    """The blocks of the sweep of single heads."""
    table = sweep.table.assign(name=[f"L{row.layer}.H{row.head}" for row in records(sweep.table)])
    table = table.sort_values(["drop", "loss"], ascending=False, kind="stable")
    shape = (int(table["layer"].max()) + 1, int(table["head"].max()) + 1)
    largest = float(table["loss"].abs().max())

    def ranked(part: pd.DataFrame) -> dict[str, Any]:
        top, rest = part.head(TOP), part.iloc[TOP:]
        frame = top[["name", "loss", "n"]].assign(
            series=ONE.text, value=100 * top["drop"], low=100 * top["low"], high=100 * top["high"]
        )
        frame = frame.rename(columns={"name": "row"})
        if len(rest):
            frame = pd.concat([frame, pd.DataFrame([{"row": OTHER_ROW, "series": OTHERS.text, **_others(rest)}])])
        return dots(
            frame, swatches=(ONE, OTHERS), x_title="points of accuracy lost", rows=list(frame["row"]), zero=True,
            tooltip=(("loss", "nats lost", ".3f"), ("n", "steps", ",.0f")), row_height=24,
        )  # fmt: skip

    def grid(part: pd.DataFrame) -> dict[str, Any]:
        cells = part.assign(value=part["loss"], p=float("nan"), selected=False)
        return head_map(cells, shape=shape, largest=largest, value_title="nats lost")

    def label(title: str, part: pd.DataFrame) -> str:
        row = part.iloc[0]
        return f"{title}: the heads whose removal alone costs most, first {row['name']} with {words.points(row['drop'])} points."

    renderer = "canvas" if shape[0] * shape[1] > CELLS_AS_SVG else "svg"
    maps = tuple(
        Chart(one.name, one.spec, one.label, one.title, renderer)
        for one in one_per_function(
            "sweep-map", table, grid, lambda title, _: f"Map of {title}: nats lost without each head."
        )
    )
    whole = "" if "" in set(table["function"]) else functions_of(table)[0]
    return [
        Note(_one_head(only(table, function=whole))),
        Figure(
            "sweep-heads",
            _whole_first(one_per_function("sweep-heads", table, ranked, label)),
            "Single heads: points of accuracy lost without each",
            f"The {TOP} largest of {words.count(shape[0] * shape[1])} heads, with 95 % intervals over questions. Grey: the mean "
            f"of all other heads, and where 95 % of them lie. {how(sweep)} The heads are ordered by the numbers shown, so the "
            "first ones look somewhat larger than they are.",
            (ONE, OTHERS),
            min_width=290,
        ),
        Figure(
            "sweep-map",
            _whole_first(maps),
            "Single heads: loss without each",
            "Fall of the right answer's log-probability.",
            ramp=ramp_to(largest, "nats lost: blue heads are needed, orange ones are in the way", digits=2),
            min_width=SMALL,
        ),
    ]  # fmt: skip


def _whole_first(charts: tuple[Chart, ...]) -> tuple[Chart, ...]:
    """The chart of all steps before those of the functions."""
    return tuple(sorted(charts, key=lambda chart: not chart.name.endswith("-")))


def _others(rest: pd.DataFrame) -> dict[str, float]:
    low, high = 100 * rest["drop"].quantile([0.025, 0.975])
    value = 100 * rest["drop"].mean()
    return {"value": value, "low": low, "high": high, "loss": rest["loss"].mean(), "n": rest["n"].iloc[0]}


def _one_head(part: pd.DataFrame) -> str:
    best, rest = next(part.itertuples()), part.iloc[1:]
    span = points_between(best.low, best.high)
    clear = int((part["low"] > 0).sum())
    if not best.drop > 0:
        return "Over all steps, no head costs accuracy when it alone is removed."
    text = f"Over all steps, the head whose removal costs most is {best.name}: "
    text += f"{words.with_interval(words.number(100 * best.drop, 1) + ' points', span)}. "
    if len(rest):
        text += f"Removing another head costs {words.number(100 * rest['drop'].mean(), 1)} points on average. "
    if not clear:
        return f"{text}No head has an interval above 0."
    return f"{text}For {words.count(clear)} of {words.count(len(part))} heads the interval lies above 0; a few do so by chance."
