"""Figures as SVG and PNG files, next to the page.

A figure of several small charts becomes one picture, four in a row, with the legend that the page draws in HTML put back
into the charts.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert as vlc

from headatlas.report.charts.theme import CONFIG, printable
from headatlas.report.page import Figure
from headatlas.storage import write_whole

WIDTH, SMALL_WIDTH, PER_ROW = 640, 220, 4

VEGA_LITE = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
"""The version of Vega-Lite that altair writes, as vl-convert spells it: `v6_4`."""


def picture_spec(figure: Figure) -> dict[str, Any]:
    """One Vega-Lite spec for all charts of `figure`, with fixed widths, titles and legends."""
    many = len(figure.charts) > 1
    parts, datasets, params = [], {}, {}
    for chart in figure.charts:
        part = _restore(copy.deepcopy(chart.spec), legend_at="top" if not many else "right")
        datasets.update(part.pop("datasets", {}))
        params.update({param["name"]: param for param in part.pop("params", [])})
        part["width"] = SMALL_WIDTH if many else WIDTH
        part["title"] = printable(chart.title or figure.title)
        parts.append(part)
    body = {"concat": parts, "columns": min(PER_ROW, len(parts)), "spacing": 28} if many else parts[0]
    return {**body, "params": [*params.values()], "datasets": datasets, "config": CONFIG}


def _restore(node: Any, legend_at: str) -> Any:
    """Put back the legends of series and colour scales, which the page draws in HTML."""
    if isinstance(node, dict):
        if node.get("legend", 0) is None:
            node.pop("legend")
            if node.get("type") == "nominal":
                node["legend"] = {"title": None, "orient": legend_at, "columns": 3 if legend_at == "top" else 1}
            else:
                node["legend"] = {"title": None, "orient": "right", "gradientLength": 120}
        for value in node.values():
            _restore(value, legend_at)
    elif isinstance(node, list):
        for value in node:
            _restore(value, legend_at)
    return node


def file_name(name: str) -> str:
    """A file name (no suffix) for the figure `name`, which may hold text from the data and so must never act as a path.

    Letters, digits, "-", "_" and "+" stay; any other name gets a digest, so that two names never share a file.
    """
    safe = re.sub(r"[^A-Za-z0-9_+-]", "_", name)[:80]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def save_figures(figures: list[Figure], folder: Path) -> list[Path]:
    """Write an SVG and a PNG (twice the pixels) of every figure to `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for figure in figures:
        spec = json.loads(json.dumps(picture_spec(figure), allow_nan=False))
        svg = vlc.vegalite_to_svg(spec, vl_version=VEGA_LITE)
        svg_path, png_path = (folder / f"{file_name(figure.name)}.{kind}" for kind in ("svg", "png"))
        svg_path.write_text(svg, encoding="utf-8")
        png_path.write_bytes(vlc.svg_to_png(svg, scale=_scale(svg)))
        written += [svg_path, png_path]
    return written


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically; return `path`."""
    write_whole(path, text.encode())
    return path


def _scale(svg: str) -> float:
    """Factor from SVG to PNG pixels: 2, or less where the picture would be wider than 4,000 pixels."""
    start = svg.index('width="') + len('width="')
    width = float(svg[start : svg.index('"', start)])
    return min(2.0, 4000 / max(width, 1.0)) if math.isfinite(width) else 2.0
