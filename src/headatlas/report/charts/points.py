"""A scatter of heads: one point per head, one colour and shape for each series."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import INK, MARK, MARKED, MUTED, ROWS, domain_of, finish
from headatlas.report.page import Swatch


def points(
    frame: pd.DataFrame,
    *,
    swatches: tuple[Swatch, ...],
    x_title: str,
    y_title: str,
    tooltip: tuple[tuple[str, str, str], ...] = (),
    height: int = 340,
) -> dict[str, Any]:
    """A scatter as wide as its container.

    Args:
        frame: columns `name` (of the head, such as `L12.H5`), `x`, `y`, `series`, `label` (written at the point; empty for
            none), and those of `tooltip`.
        swatches: the series in order; `text` equals `series`.
        x_title, y_title: titles of the axes, with their units.
        tooltip: (column, title, d3 format; "" for text).
        height: in pixels.
    """
    series = [swatch.text for swatch in swatches]
    ends = {name: domain_of(frame, name) or alt.Undefined for name in ("x", "y")}
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(tickCount=6), scale=alt.Scale(domain=ends["x"], nice=True))
    y = alt.Y("y:Q", title=y_title, axis=alt.Axis(tickCount=6), scale=alt.Scale(domain=ends["y"], nice=True))
    tips = [
        alt.Tooltip(f"{name}:Q", title=title, format=form) if form else alt.Tooltip(f"{name}:N", title=title)
        for name, title, form in tooltip
    ]
    base = alt.Chart(ROWS)
    dots = base.mark_point(size=70, filled=True, opacity=0.85).encode(
        x=x,
        y=y,
        tooltip=tips,
        color=alt.Color("series:N", scale=alt.Scale(domain=series, range=[s.color for s in swatches]), legend=None),
        shape=alt.Shape("series:N", scale=alt.Scale(domain=series, range=[s.shape for s in swatches]), legend=None),
    )
    names = base.mark_text(align="left", dx=7, dy=-5, fontSize=10.5, color=INK).encode(x=x, y=y, text="label:N")
    zero = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=MUTED, strokeDash=[3, 3])
    # Transparent unless marked: a filter would leave a layer without rows, whose axis has no extent.
    shown = alt.condition("datum.name == marked", alt.value(1), alt.value(0))
    ring = base.mark_point(size=260, color=MARK, strokeWidth=3, filled=False).encode(x=x, y=y, opacity=shown)
    layers = alt.layer(zero.encode(x="at:Q"), zero.encode(y="at:Q"), ring, dots, names)
    return {**finish(layers.properties(width="container", height=height), frame), "params": [MARKED]}
