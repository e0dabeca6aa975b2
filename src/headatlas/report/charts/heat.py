"""A matrix of numbers as colours, with the numbers written in the cells."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import INK, PAPER, ROWS, color_scale, finish, row_axis


def heat(
    frame: pd.DataFrame,
    *,
    rows: list[str],
    columns: list[str],
    y_title: str,
    x_title: str,
    largest: float,
    diverging: bool = True,
    tooltip: tuple[tuple[str, str], ...] = (),
    cell: int = 34,
    angle: int = -40,
) -> dict[str, Any]:
    """A heat map as wide as its container.

    Args:
        frame: columns `row`, `column`, `value`, `text` (written in the cell), and those of `tooltip` (text).
        rows: from top to bottom.
        columns: from left to right.
        y_title: what the rows are.
        x_title: what the columns are.
        largest: the colour scale's end; it runs from -largest to largest, or from 0 if not `diverging`.
        diverging: whether values below 0 mean something.
        tooltip: (column, title).
        cell: height of a row in pixels.
        angle: of the column labels in degrees.
    """
    largest = largest if math.isfinite(largest) and largest > 0 else 1.0
    scale = color_scale(largest, diverging)
    base = alt.Chart(ROWS).encode(
        x=alt.X(
            "column:N",
            sort=columns,
            title=x_title or None,
            axis=alt.Axis(labelAngle=angle, domain=False, ticks=False, orient="bottom", labelOverlap=len(columns) > 12),
            scale=alt.Scale(paddingInner=0.04),
        ),
        y=alt.Y(
            "row:N",
            sort=rows,
            title=y_title or None,
            axis=row_axis(rows),
            scale=alt.Scale(paddingInner=0.04),
        ),
        tooltip=[alt.Tooltip(f"{name}:N", title=title) for name, title in tooltip],
    )
    rect = base.mark_rect(cornerRadius=2).encode(
        color=alt.condition(
            "isValid(datum.value)", alt.Color("value:Q", scale=scale, legend=None), alt.value("#eef1f4")
        )
    )
    text = base.mark_text(fontSize=11).encode(
        text="text:N",
        color=alt.condition(
            f"isValid(datum.value) && abs(datum.value) > {0.62 * largest:.6g}", alt.value(PAPER), alt.value(INK)
        ),
    )
    chart = alt.layer(rect, text).properties(width="container", height=cell * max(len(rows), 1))
    return finish(chart, frame)
