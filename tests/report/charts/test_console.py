"""Charts without a number, and maps without a selected head, leave the console of a reader silent."""

import pandas as pd
import pytest
from browser import opened

from headatlas.report.charts import bars, dots, head_map, heat, lines, points
from headatlas.report.charts.theme import BLUE
from headatlas.report.page import Chart, Figure, Page, Section, Swatch
from headatlas.report.render import to_html

ONE = (Swatch("one", BLUE),)


def charts(value):
    frame = pd.DataFrame({"row": ["a", "b"], "column": ["c", "d"], "name": ["L0.H0", "L0.H1"], "x": value, "y": value})
    frame = frame.assign(series="one", value=value, low=value, high=value, text="", label="")
    cells = pd.DataFrame({"layer": [0, 0], "head": [0, 1], "value": value, "p": None, "selected": False})
    yield dots(frame, swatches=ONE, x_title="points", rows=["a", "b"], zero=True)
    yield dots(frame.head(0), swatches=ONE, x_title="points", rows=[])
    yield bars(frame, swatches=ONE, x_title="heads")
    yield heat(frame, rows=["a", "b"], columns=["c", "d"], y_title="", x_title="", largest=value)
    yield lines(frame, swatches=ONE, x_title="k", y_title="")
    yield points(frame, swatches=ONE, x_title="x", y_title="y")
    yield head_map(cells, shape=(1, 2), largest=value)


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_nothing_is_said_on_the_console(tmp_path, value):
    figures = tuple(Figure(f"f{i}", (Chart(f"c{i}", spec, "a chart"),)) for i, spec in enumerate(charts(value)))
    page = Page("a-b/c for one task", "", [], [], [Section("s", "S", "", figures)])
    (tmp_path / "page.html").write_text(to_html(page))
    with opened(tmp_path / "page.html") as drawn:
        assert drawn.locator(".vega[data-state=drawn]").count() == len(figures)
        assert drawn.told == []
        assert drawn.locator("h1 .whole").inner_text() == "a-b/c"
