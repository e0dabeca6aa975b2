"""What chapters share on the way from a table to a figure."""

import pandas as pd

from headatlas.report.figures import by_order, in_points, matrix_chart, one_chart, ramp_to
from headatlas.report.page import Chart


def test_rows_are_sorted_by_each_list_and_by_plain_values():
    rows = pd.DataFrame({"function": ["b", "a", "b", "a"], "alpha": [2.0, 1.0, 0.5, 3.0], "arm": list("wxyz")})
    assert by_order(rows, function=["b", "a"], alpha=None)["arm"].tolist() == ["y", "w", "x", "z"]
    assert by_order(rows, arm=list("zyxw"))["arm"].tolist() == list("zyxw")
    assert by_order(rows, function=["a", "b"])["arm"].tolist() == ["x", "z", "w", "y"]


def test_shares_become_points_with_their_bounds():
    rows = pd.DataFrame({"drop": [0.25], "low": [0.1], "high": [0.5], "random_low": [0.0]})
    assert {key: value.tolist() for key, value in in_points(rows, "drop", low="random_low").items()} == {
        "value": [25.0],
        "low": [0.0],
        "high": [50.0],
    }


def test_a_matrix_names_functions_in_one_word_and_keeps_their_order():
    cells = pd.DataFrame({"row": ["Spatial"], "column": ["Math"], "value": [0.4], "text": ["0.4"], "pair": ["p"]})
    names = ["spatial_perception", "math_reasoning"]
    chart = matrix_chart("m", cells, "label", rows=names, columns=names[::-1], largest=1.0, tooltip=(("pair", " "),))
    encoding = chart.spec["layer"][0]["encoding"]
    assert encoding["y"]["sort"] == ["Spatial", "Math"]
    assert encoding["x"]["sort"] == ["Math", "Spatial"]


def test_a_single_chart_has_the_figures_name_and_a_ramp_both_ends():
    figure = one_chart("name", {}, "label", "title", ramp=ramp_to(12.4, "points"))
    assert figure.charts == (Chart("name", {}, "label"),)
    assert figure.ramp is not None
    assert (figure.ramp.low, figure.ramp.high) == ("−12", "+12")
