"""Colours, fonts and sizes that all charts share, and how a frame becomes a chart's data.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart; each series also has its own shape. The
diverging ramp runs from orange through white to blue.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

INK, MUTED, GRID, PAPER = "#1b2733", "#5b6875", "#e3e8ee", "#ffffff"
BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#b5548a", "#56b4e9", "#8793a1"
RAMP = ("#a6540b", "#e08a2e", "#f6cf9c", "#f6f7f8", "#a9d0ea", "#3b8fc7", "#08508a")
SEQUENTIAL = ("#f6f7f8", "#cfe3f1", "#86bbdf", "#3b8fc7", "#08508a")

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

CONFIG: dict[str, Any] = {
    "background": PAPER,
    "font": FONT,
    "padding": {"left": 2, "right": 10, "top": 4, "bottom": 4},
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": MUTED,
        "labelFontSize": 11.5,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": GRID,
        "domainColor": "#c3ccd6",
        "tickColor": "#c3ccd6",
        "labelLimit": 190,
        "labelPadding": 5,
    },
    "title": {"anchor": "start", "fontSize": 13, "color": INK, "fontWeight": 600, "offset": 8},
    "legend": {"labelColor": INK, "titleColor": MUTED, "labelFontSize": 11.5, "titleFontSize": 11.5, "labelLimit": 260},
}

SHAPES = ("circle", "diamond", "square", "triangle-up", "triangle-down", "cross")


ROWS = alt.NamedData("rows")
"""Placeholder for a chart's rows, which `finish` puts in: Altair copies a chart at every step, and would copy its rows too."""


MARK = "#d6249f"
"""Colour of the head that a reader has marked."""

MARKED = {"name": "marked", "value": ""}
"""The parameter of a chart of heads that holds the marked head, such as `L12.H5`; the page sets it in all charts at once."""


def color_scale(largest: float, diverging: bool = True) -> alt.Scale:
    """A colour scale from -largest (or 0) to largest: one domain value for each colour, because Vega pairs the two lists."""
    largest = largest if math.isfinite(largest) and largest > 0 else 1.0
    colors, low = (RAMP, -largest) if diverging else (SEQUENTIAL, 0.0)
    step = (largest - low) / (len(colors) - 1)
    return alt.Scale(
        domain=[low + step * i for i in range(len(colors))], range=list(colors), clamp=True, interpolate="rgb"
    )


def domain_of(frame: pd.DataFrame, *columns: str) -> list[float] | None:
    """The domain of an axis over these columns: None lets Vega fit it, 0 to 1 where they have no number.

    Without a number Vega has no extent to fit, and warns on the reader's console.
    """
    numbers = frame[[column for column in columns if column in frame.columns]].to_numpy(float)
    return None if bool(np.isfinite(numbers).any()) else [0.0, 1.0]


LONG = 28
"""Characters of a row's name that fit on one line of an axis."""

TWO_LINES = f"split(replace(datum.label, regexp('^(.{{1,{LONG}}}) (?=.)'), '$1|'), '|')"


def row_axis(rows: Iterable[str], **more: Any) -> alt.Axis:
    """The axis of named rows: where one of the names is long, long ones are written in two lines."""
    if any(len(name) > LONG for name in rows):
        more["labelExpr"] = f"length(datum.label) > {LONG} ? {TWO_LINES} : datum.label"
    return alt.Axis(ticks=False, domain=False, labelPadding=8, **more)


def row_height(rows: Iterable[str], height: int) -> int:
    """`height` in pixels, or more where a row's name needs two lines."""
    return max(height, 32) if any(len(name) > LONG for name in rows) else height


def printable(text: str) -> str:
    """`text` with a space for every character that charts cannot hold: control characters, line ends, lone surrogates.

    vl-convert does not raise on them but ends the whole process, and names of models, files and functions may hold any.
    """
    if text.isprintable():
        return text
    return "".join(" " if c in "\ufffe\uffff" or unicodedata.category(c) in _UNPRINTABLE else c for c in text)


_UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))


def _printable_texts(node: Any) -> Any:
    """A spec with all its texts printable: rows, titles and domains."""
    if isinstance(node, str):
        return printable(node)
    if isinstance(node, list):
        return [_printable_texts(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _printable_rows(value) if key == "datasets" else _printable_texts(value) for key, value in node.items()
        }
    return node


def _printable_rows(datasets: dict[str, Any]) -> dict[str, Any]:
    """The rows of a spec with printable texts; rows in CSV hold numbers only and keep their line ends."""
    return {name: rows if isinstance(rows, str) else _printable_texts(rows) for name, rows in datasets.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def finish(chart: alt.TopLevelMixin, frame: pd.DataFrame | None = None) -> dict[str, Any]:
    """The chart's Vega-Lite spec with the rows of `frame` for `ROWS`, all texts printable, and without config.

    Floats keep five significant digits, missing values become null. The page and the exporter add `CONFIG`, once.
    """
    spec: dict[str, Any] = chart.to_dict(validate=False)  # type: ignore[attr-defined]
    spec.pop("config", None)
    spec.pop("$schema", None)
    if frame is None:
        return _printable_texts(spec)
    rows = [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]
    # Named after what they hold, so that several charts can be put into one picture.
    name = "rows-" + hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
    for part in [spec, *spec.get("layer", [])]:
        if part.get("data") == {"name": "rows"}:
            part["data"] = {"name": name}
    spec["datasets"] = {**spec.get("datasets", {}), name: rows}
    return _printable_texts(spec)
