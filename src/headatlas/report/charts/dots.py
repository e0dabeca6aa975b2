"""Dots with 95 % intervals: one row for each group, one shape and colour for each series."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import MUTED, ROWS, domain_of, finish, row_axis
from headatlas.report.charts.theme import row_height as least_height
from headatlas.report.page import Swatch


def dots(
    frame: pd.DataFrame,
    *,
    swatches: tuple[Swatch, ...],
    x_title: str,
    rows: list[str],
    zero: bool = False,
    x_format: str = "",
    domain: tuple[float, float] | None = None,
    tooltip: tuple[tuple[str, str, str], ...] = (),
    row_height: int = 0,
) -> dict[str, Any]:
    """A dot-and-interval plot as wide as its container.

    Args:
        frame: columns `row`, `series`, `value`, `low`, `high` (low and high may be missing), and those of `tooltip`.
        swatches: the series in order; `text` equals `series`.
        x_title: the title of the value axis, with its unit.
        rows: the rows from top to bottom.
        zero: whether to draw a line at 0.
        x_format: d3 format of the axis.
        domain: ends of the value axis; None fits the data.
        tooltip: (column, title, d3 format), shown in addition to row, series, value and interval.
        row_height: pixels for each row; 0 fits the number of series.
    """
    series = [swatch.text for swatch in swatches]
    height = least_height(rows, row_height or max(22, 12 * len(series) + 8))
    ends = list(domain) if domain else domain_of(frame, "value", "low", "high")
    scale = alt.Scale(domain=ends, nice=False) if ends else alt.Scale(zero=False, nice=True)
    form = x_format or ".1f"
    y = alt.Y("row:N", sort=rows, title=None, axis=row_axis(rows, grid=True))
    x = alt.X("value:Q", title=x_title, scale=scale, axis=alt.Axis(format=x_format or "~r", tickCount=5))
    offset = alt.YOffset("series:N", sort=series, scale=alt.Scale(domain=series, paddingOuter=0.35))
    color = alt.Color(
        "series:N", scale=alt.Scale(domain=series, range=[swatch.color for swatch in swatches]), legend=None
    )
    shape = alt.Shape("series:N", scale=alt.Scale(domain=series, range=[s.shape for s in swatches]), legend=None)
    tips = [
        alt.Tooltip("row:N", title=" "),
        alt.Tooltip("series:N", title="  "),
        alt.Tooltip("value:Q", title="value", format=form),
        alt.Tooltip("low:Q", title="95 % interval from", format=form),
        alt.Tooltip("high:Q", title="to", format=form),
        *(alt.Tooltip(f"{name}:{'Q' if form else 'N'}", title=title, format=form) for name, title, form in tooltip),
    ]
    base = alt.Chart(ROWS).encode(y=y, yOffset=offset, color=color)
    layers: list[alt.Chart] = []
    if zero:
        layers.append(alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=MUTED).encode(x="at:Q"))
    if bool((frame["low"].notna() & frame["high"].notna()).any()):
        known = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        span = known.mark_rule(strokeWidth=2, opacity=0.75)
        layers.append(span.encode(x=alt.X("low:Q", title=x_title, scale=scale), x2="high:Q", tooltip=tips))
    layers.append(base.mark_point(size=62, filled=True, opacity=1).encode(x=x, shape=shape, tooltip=tips))
    chart = alt.layer(*layers).properties(width="container", height=height * max(len(rows), 1))
    return finish(chart, frame)
