"""Horizontal bars with their value written at the end."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import INK, ROWS, finish, row_axis, row_height
from headatlas.report.page import Swatch


def bars(
    frame: pd.DataFrame, *, swatches: tuple[Swatch, ...], x_title: str, tooltip: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    """Bars as wide as their container, in the order of the frame.

    Args:
        frame: columns `row`, `value`, `text` (what is written at the bar's end), `series`, and those of `tooltip` (text).
        swatches: the series; `text` equals `series`.
        x_title: the title of the value axis, with its unit.
        tooltip: (column, title).
    """
    largest = float(frame["value"].max(skipna=True)) if frame["value"].notna().any() else 0.0
    scale = alt.Scale(domain=[0, largest * 1.3 or 1], nice=False)
    base = alt.Chart(ROWS).encode(
        y=alt.Y("row:N", sort=None, title=None, axis=row_axis(frame["row"])),
        x=alt.X("value:Q", title=x_title, scale=scale, axis=alt.Axis(tickCount=5, format="~r", tickMinStep=1)),
        tooltip=[alt.Tooltip("row:N", title=" "), *(alt.Tooltip(f"{name}:N", title=title) for name, title in tooltip)],
    )
    series = alt.Scale(domain=[s.text for s in swatches], range=[s.color for s in swatches])
    bar = base.mark_bar(height={"band": 0.68}, cornerRadiusEnd=2).encode(
        color=alt.Color("series:N", scale=series, legend=None)
    )
    text = base.mark_text(align="left", dx=5, color=INK, fontSize=11.5).encode(text="text:N")
    return finish(
        alt.layer(bar, text).properties(width="container", height=row_height(frame["row"], 26) * max(len(frame), 1)),
        frame,
    )
