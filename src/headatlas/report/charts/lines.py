"""Curves with 95 % bands, one for each series."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import INK, MUTED, ROWS, domain_of, finish
from headatlas.report.page import Swatch


def lines(
    frame: pd.DataFrame,
    *,
    swatches: tuple[Swatch, ...],
    x_title: str,
    y_title: str,
    y_domain: tuple[float, float] | None = None,
    y_format: str = ".0%",
    zero: bool = False,
    height: int = 150,
    ticks: list[float] | None = None,
) -> dict[str, Any]:
    """Curves as wide as their container.

    Args:
        frame: columns `x`, `series`, `value`, `low`, `high`, `mark` (true: draw a ring around the point).
        swatches: the series in order; `text` equals `series`.
        x_title: title of the horizontal axis.
        y_title: title of the vertical axis.
        y_domain: ends of the vertical axis; None fits the data.
        y_format: d3 format of the vertical axis.
        zero: whether to draw a line at 0.
        height: in pixels.
        ticks: where the horizontal axis has ticks; None lets Vega choose.
    """
    series = [swatch.text for swatch in swatches]
    ends = list(y_domain) if y_domain else domain_of(frame, "value", "low", "high")
    y_scale = alt.Scale(domain=ends, nice=False, clamp=True) if ends else alt.Scale(zero=False, nice=True)
    axis = alt.Axis(grid=False, values=ticks, labelOverlap=True) if ticks else alt.Axis(grid=False, tickCount=5)
    across = domain_of(frame, "x") or alt.Undefined
    x = alt.X("x:Q", title=x_title, axis=axis, scale=alt.Scale(domain=across, zero=False, nice=False, padding=6))
    y = alt.Y("value:Q", title=y_title or None, scale=y_scale, axis=alt.Axis(format=y_format, tickCount=4))
    color = alt.Color("series:N", scale=alt.Scale(domain=series, range=[s.color for s in swatches]), legend=None)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=series, range=[s.shape for s in swatches]), legend=None)
    tips = [
        alt.Tooltip("series:N", title=" "),
        alt.Tooltip("x:Q", title=x_title, format="~g"),
        alt.Tooltip("value:Q", title="value", format=".3f"),
        alt.Tooltip("low:Q", title="95 % interval from", format=".3f"),
        alt.Tooltip("high:Q", title="to", format=".3f"),
    ]
    base = alt.Chart(ROWS).encode(x=x, color=color)
    layers: list[alt.Chart] = []
    if zero:
        layers.append(alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=MUTED).encode(y="at:Q"))
    if bool((frame["low"].notna() & frame["high"].notna()).any()):
        known = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        band = alt.Y("low:Q", scale=y_scale, title=y_title or None)
        layers.append(known.mark_area(opacity=0.16).encode(y=band, y2="high:Q"))
    layers.append(base.mark_line(strokeWidth=2).encode(y=y))
    layers.append(base.mark_point(size=36, filled=True, opacity=1).encode(y=y, shape=shape, tooltip=tips))
    if "mark" in frame.columns and bool(frame["mark"].any()):
        ring = base.transform_filter("datum.mark").mark_point(size=190, color=INK, strokeWidth=1.8, filled=False)
        layers.append(ring.encode(y=y, color=alt.value(INK), tooltip=tips))
    return finish(alt.layer(*layers).properties(width="container", height=height), frame)
