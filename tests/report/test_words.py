import math

import pandas as pd
import pytest

from headatlas.report import words
from headatlas.report.render import build_page
from headatlas.report.tables import read_run


def test_known_names_come_first_and_unknown_ones_stay():
    named = pd.DataFrame({"scorer": ["paper", "ablation"], "label": ["The probe", ""], "title": ["the probe", ""]})
    with words.scorer_names(named):
        assert words.scorers_in_order(["ablation", "gates", "paper", "paper"]) == ["paper", "ablation", "gates"]
        assert (words.scorer("paper"), words.scorer_title("paper")) == ("The probe", "the probe")
        assert words.scorer("ablation") == "Ablation"
    assert words.scorer("paper") == "Paper"
    assert words.group("count_in_region") == "Count in region"
    assert words.group("spatial_perception") == "Spatial perception"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.031, "+3.1"), (-0.031, "−3.1"), (0.0, "0.0"), (0.0004, "0.0"), (-0.0004, "0.0"), (math.nan, "–")],
)
def test_points_are_signed_and_never_minus_zero(value, text):
    assert words.points(value) == text


def test_missing_numbers_are_a_dash():
    assert words.percent(None) == words.number(float("inf")) == words.p_value(None) == "–"
    assert words.interval(words.points(math.nan), "+1.0") == ""


def test_p_values_and_durations():
    assert words.p_value(0.0002) == "< 0.001"
    assert words.p_value(0.0476) == "0.048"
    assert words.seconds(59.94) == "59.9 s"
    assert words.seconds(204.9) == "3 min 25 s"
    assert words.seconds(3720) == "1 h 02 min"


def test_listing():
    assert words.listing([]) == ""
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"


def test_the_page_calls_scorers_by_their_own_labels(run_dir):
    file = run_dir / "results" / "scorers.csv"
    file.write_text(file.read_text().replace("Paper's probe (A1)", "My probe"))
    scorers = dict(build_page(read_run(run_dir)).scorers)
    assert (scorers["paper"], scorers["linear"]) == ("My probe", "Linear probe (A2)")
    assert words.scorer("paper") == "Paper", "only inside that page"
