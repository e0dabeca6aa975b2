"""From the rows of a table to a figure: the steps that several sections share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import heat
from headatlas.report.charts.theme import GREY, RAMP
from headatlas.report.page import Chart, Figure, Ramp, Swatch
from headatlas.report.tables import only

SMALL = 215
"""Least width, in pixels, of the small charts of which there is one for each function."""


def one_chart(
    name: str,
    spec: dict[str, Any],
    label: str,
    title: str = "",
    caption: str = "",
    swatches: tuple[Swatch, ...] = (),
    ramp: Ramp | None = None,
) -> Figure:
    """A figure with a single chart of the same name."""
    return Figure(name, (Chart(name, spec, label),), title, caption, swatches, ramp)


def one_per_function(
    name: str,
    rows: pd.DataFrame,
    draw: Callable[[pd.DataFrame], dict[str, Any]],
    label: Callable[[str, pd.DataFrame], str],
) -> tuple[Chart, ...]:
    """A small chart for each function in `rows`, in the order of the functions.

    Args:
        name: start of the charts' names; the function's name follows.
        rows: a table with a column `function`.
        draw: the rows of one function -> a Vega-Lite spec.
        label: (function in words, its rows) -> what a screen reader says.
    """
    charts = []
    for function in words.functions_in_order(rows["function"]):
        part, title = only(rows, function=function), words.group(function)
        charts.append(Chart(f"{name}-{function}", draw(part), label(title, part), title))
    return tuple(charts)


def legend(names: Iterable[str], titles: Mapping[str, str], looks: Mapping[str, tuple[str, str]]) -> tuple[Swatch, ...]:
    """Swatches for the distinct `names`, those in `looks` first; `looks[name]` is (colour, shape), else a grey cross."""
    return tuple(
        Swatch(words.plain(name, titles), *looks.get(name, (GREY, "cross"))) for name in words.in_order(names, looks)
    )


def in_points(rows: pd.DataFrame, value: str, low: str = "low", high: str = "high") -> dict[str, Any]:
    """The columns `value`, `low`, `high` of a chart, in percentage points, from shares."""
    return {"value": 100 * rows[value], "low": 100 * rows[low], "high": 100 * rows[high]}


def matrix_chart(
    name: str,
    cells: pd.DataFrame,
    label: str,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    largest: float,
    tooltip: tuple[tuple[str, str], ...],
    title: str = "",
    y_title: str = "",
    x_title: str = "",
) -> Chart:
    """A matrix of signed numbers: `cells` as for `charts.heat`, `rows` and `columns` the names of functions in order."""
    spec = heat(
        cells, rows=[words.short(n) for n in rows], columns=[words.short(n) for n in columns], y_title=y_title, x_title=x_title,
        largest=largest, tooltip=tooltip,
    )  # fmt: skip
    return Chart(name, spec, label, title)


def ramp_to(largest: float, note: str, digits: int = 0) -> Ramp:
    """The legend of a colour scale from -largest to largest."""
    end = words.number(largest, digits)
    return Ramp(RAMP, f"−{end}", "0", f"+{end}", note)


def by_order(rows: pd.DataFrame, **orders: Sequence[str] | None) -> pd.DataFrame:
    """Rows sorted by the columns named, each in the order of its list; None sorts by the column's own values."""
    keys = {
        column: rows[column] if order is None else rows[column].map({name: i for i, name in enumerate(order)})
        for column, order in orders.items()
    }
    return rows.loc[pd.DataFrame(keys, index=rows.index).sort_values(list(keys), kind="stable").index]
