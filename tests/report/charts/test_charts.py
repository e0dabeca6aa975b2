"""Every kind of chart is valid Vega-Lite and draws, also without a single number."""

import json
import re

import altair as alt
import pandas as pd
import pytest
import vl_convert as vlc

from headatlas.report.charts import bars, dots, head_map, heat, lines, points
from headatlas.report.charts.theme import BLUE, GREY, color_scale, printable
from headatlas.report.export import VEGA_LITE
from headatlas.report.page import Swatch

SWATCHES = (Swatch("one", BLUE), Swatch("two", GREY, "square"))
NOTHING = float("nan")


def _dots(value: float) -> dict:
    frame = pd.DataFrame({"row": ["a", "b"], "series": ["one", "two"], "value": value, "low": value, "high": value})
    return dots(frame, swatches=SWATCHES, x_title="points", rows=["a", "b"], zero=True)


def _bars(value: float) -> dict:
    frame = pd.DataFrame({"row": ["a", "b"], "series": ["one", "two"], "value": value, "text": "t"})
    return bars(frame, swatches=SWATCHES, x_title="heads")


def _heat(value: float) -> dict:
    frame = pd.DataFrame({"row": ["a", "b"], "column": ["c", "d"], "value": value, "text": "t"})
    return heat(frame, rows=["a", "b"], columns=["c", "d"], y_title="", x_title="", largest=value)


def _lines(value: float) -> dict:
    frame = pd.DataFrame(
        {"x": [0.0, 1.0], "series": "one", "value": value, "low": value, "high": value, "mark": [True, False]}
    )
    return lines(frame, swatches=SWATCHES[:1], x_title="k", y_title="")


def _map(value: float) -> dict:
    cells = [(layer, head) for layer in range(2) for head in range(3)]
    frame = pd.DataFrame(cells, columns=["layer", "head"]).assign(value=value, p=None, selected=[True] + [False] * 5)
    return head_map(frame, shape=(2, 3), largest=value)


def _points(value: float) -> dict:
    frame = pd.DataFrame({"name": ["L0.H0", "L0.H1"], "x": value, "y": value, "series": "one", "label": ""})
    return points(frame, swatches=SWATCHES[:1], x_title="x", y_title="y")


@pytest.mark.parametrize("make", [_dots, _bars, _heat, _lines, _map, _points])
@pytest.mark.parametrize("value", [0.4, NOTHING])
def test_valid_and_drawn(make, value):
    spec = make(value)
    json.dumps(spec, allow_nan=False)
    alt.Chart.from_dict(spec)  # checks the schema
    svg = vlc.vegalite_to_svg({**spec, "width": 200}, vl_version=VEGA_LITE)
    assert svg.count("<path") > 2


UNFIT = "a\x00b\x1bc\nd\u2028e\ufffef"


def test_no_text_of_a_chart_holds_what_would_end_the_process():
    """vl-convert does not raise on control characters, it aborts: a failure here takes pytest down with it."""
    rows = {
        "row": [UNFIT],
        "series": [UNFIT],
        "column": [UNFIT],
        "text": [UNFIT],
        "value": [1.0],
        "low": [0.5],
        "high": [2.0],
    }
    frame, swatches = pd.DataFrame(rows), (Swatch(UNFIT, BLUE),)
    specs = [
        dots(frame, swatches=swatches, x_title=UNFIT, rows=[UNFIT]),
        bars(frame, swatches=swatches, x_title=UNFIT),
        heat(frame, rows=[UNFIT], columns=[UNFIT], y_title=UNFIT, x_title="x", largest=1.0),
        lines(frame.assign(x=0.0), swatches=swatches, x_title=UNFIT, y_title=UNFIT),
    ]
    for spec in specs:
        assert "a b c d e f" in json.dumps(spec)
        svg = vlc.vegalite_to_svg({**spec, "width": 200}, vl_version=VEGA_LITE)
        assert vlc.svg_to_png(svg, scale=1).startswith(b"\x89PNG")


def test_other_signs_stay_as_they_are():
    text = "vlm–2 «ß» 中文 \u00a0 🙂"
    assert printable(text) == text
    assert printable("a\ud800b\rc") == "a b c"


def test_a_map_outlines_the_selected_heads_and_colours_all():
    svg = vlc.vegalite_to_svg({**_map(0.4), "width": 200}, vl_version=VEGA_LITE)
    assert len(re.findall(r'fill-opacity="0"[^>]*stroke="#1b2733"|stroke="#1b2733"[^>]*fill-opacity="0"', svg)) == 1
    assert svg.count("score: 0.4000") >= 6


def test_the_colour_scale_is_white_at_zero():
    scale = color_scale(0.6).to_dict()
    assert scale["domain"][3] == pytest.approx(0)
    assert scale["range"][3] == "#f6f7f8"
    assert color_scale(float("nan")).to_dict()["domain"][-1] == 1.0
