"""The map of one function over all heads: layers upwards, heads across, colour the score, an outline the selected heads.

Its data are stored as CSV, because a large model has tens of thousands of cells.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from headatlas.report.charts.theme import INK, MARK, MARKED, color_scale, finish

CELLS_AS_SVG = 1500
"""Maps with more cells are drawn on a canvas: thousands of SVG nodes make a page slow."""


def head_map(
    frame: pd.DataFrame, *, shape: tuple[int, int], largest: float, tower: str = "L", value_title: str = "score"
) -> dict[str, Any]:
    """A map of layers x heads, as wide as its container.

    Args:
        frame: columns `layer`, `head` (0-based), `value`, `p`, `selected` (bool); one row for each head.
        shape: (L, H).
        largest: end of the colour scale, which runs from -largest to largest.
        tower: letter with which the heads' names begin.
        value_title: what the value is, in the tooltip.
    """
    n_layers, n_heads = shape
    table = frame[["layer", "head", "value", "p", "selected"]].copy()
    table["layer"], table["head"] = table["layer"].astype(int), table["head"].astype(int)
    table["selected"] = table["selected"].astype(int)
    text = table.to_csv(index=False, float_format="%.4g", lineterminator="\n")
    kinds = {"layer": "number", "head": "number", "value": "number", "p": "number", "selected": "number"}
    source = alt.InlineData(values=text, format=alt.CsvDataFormat(type="csv", parse=kinds))
    # Vega-Lite reads an empty CSV field as null, which is what a scorer without p-values leaves.
    gap = alt.Scale(paddingInner=0.1 if max(shape) <= 40 else 0.0, paddingOuter=0.05)
    base = (
        alt.Chart(source)
        .transform_calculate(name=f"'{tower}' + datum.layer + '.H' + datum.head")
        .transform_calculate(chosen="datum.selected ? 'yes' : 'no'")
        .encode(
            x=alt.X(
                "head:O",
                title="head",
                scale=gap,
                axis=alt.Axis(labelAngle=0, domain=False, ticks=False, values=_ticks(n_heads), titlePadding=3),
            ),
            y=alt.Y(
                "layer:O",
                title="layer",
                sort="descending",
                scale=gap,
                axis=alt.Axis(domain=False, ticks=False, values=_ticks(n_layers), titlePadding=3),
            ),
            tooltip=[
                alt.Tooltip("name:N", title="head"),
                alt.Tooltip("value:Q", title=value_title, format=".4f"),
                alt.Tooltip("p:Q", title="p", format=".3f"),
                alt.Tooltip("chosen:N", title="selected"),
            ],
        )
    )
    color = alt.Color("value:Q", scale=color_scale(largest), legend=None)
    small = n_layers * n_heads <= 600
    cells = base.mark_rect(cornerRadius=2 if small else 0).encode(color=color)
    outline = (
        base.transform_filter("datum.selected == 1")
        .mark_rect(fillOpacity=0, stroke=INK, strokeWidth=2 if small else 1.2, cornerRadius=2 if small else 0)
        .encode()
    )
    marked = (
        base.transform_filter("datum.name == marked")
        .mark_rect(fillOpacity=0, stroke=MARK, strokeWidth=3.5, cornerRadius=2 if small else 0)
        .encode()
    )
    height = n_layers * (22 if n_layers <= 10 else 14 if n_layers <= 20 else 8)
    layers = alt.layer(cells, outline, marked).properties(width="container", height=min(height, 420))
    return {**finish(layers), "params": [MARKED]}


def _ticks(n: int) -> list[int]:
    step = next(step for step in (1, 2, 4, 5, 8, 10, 16, 20, 50, 100, n) if n / step <= 9)
    return list(range(0, n, step))
