"""Grades against a truth made by hand, and null worlds of a real model."""

import json

import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr import CogVSR
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scoring import Scores
from headatlas.truth.chart import grading_figures, save_grading_charts
from headatlas.truth.grade import Case, grade_case, null_case, ranked_against, summary
from headatlas.truth.page import grading_page


def case(truth, vlm, data):
    return Case("made", "planted", vlm, data, truth, {FUNCTIONS[0]: "redundant"})


def test_rankings():
    truth = np.zeros((2, 3), bool)
    truth[0, 0] = truth[1, 2] = True
    assert ranked_against(np.array([[9.0, 1, 2], [3, 4, 8]]), truth) == (1.0, 1.0)
    assert ranked_against(np.array([[9.0, 1, 2], [3, 8, 4]]), truth) == (pytest.approx((1 + 2 / 3) / 2), 0.5)


@pytest.fixture
def data(tiny_questions):
    return CogVSR.from_questions(tiny_questions)


@pytest.fixture
def grades(tiny_vlm, data):
    truth = np.zeros((8, 2, 3), bool)
    truth[0, 0, :2] = True
    values, p = np.zeros((8, 2, 3)), np.ones((8, 2, 3))
    values[0, 0] = [5.0, 4.0, 3.0]
    p[0, 0] = 1e-6
    scores = {
        "ablation": Scores("ablation", values, pvalues=p),
        "random": Scores("random", np.random.default_rng(0).random((8, 2, 3))),
    }
    null = Case("twin of made", "twin", tiny_vlm, data)
    return pd.concat([grade_case(case(truth, tiny_vlm, data), scores, ("null",)), grade_case(null, scores, ("null",))])


def test_selected_sets_are_compared_with_the_truth(grades):
    row = summary(grades).set_index("scorer").loc["ablation"]
    assert (row["precision_at"], row["auprc"]) == (1, 1)
    assert (row["precision"], row["recall"], row["f1"]) == (2 / 3, 1, 0.8)
    assert row["false_twin"] == 3 / 48


def test_functions_without_a_planted_head_are_left_out_of_planted_worlds(grades):
    planted = grades[grades["kind"] == "planted"]
    assert set(planted["function"]) == {FUNCTIONS[0]}
    assert set(grades[grades["kind"] == "twin"]["function"]) == set(FUNCTIONS)


def test_the_charts_show_what_was_measured_and_nothing_else(grades, tmp_path):
    planted = grades[grades["kind"] == "planted"]
    other = planted.assign(
        function=FUNCTIONS[1], precision_at=1 - planted["precision_at"]
    )  # so that intervals have a width
    grades = pd.concat([grades, other])
    found, false = grading_figures(grades, "null")
    rows = {name: json.dumps(figure.charts[0].spec) for name, figure in (("found", found), ("false", false))}
    assert "F1 of the selected set" in rows["found"]
    data = [row for rows in found.charts[0].spec["datasets"].values() for row in rows if row.get("low") is not None]
    table = summary(grades).set_index("scorer")
    assert {(row["low"], row["value"], row["high"]) for row in data} == {
        tuple(table.loc[name, ["precision_low", "precision_at", "precision_high"]]) for name in table.index
    }
    assert any(row["low"] < row["high"] for row in data)
    assert "untrained twin" in rows["false"]
    assert grading_figures(grades[grades["kind"] == "twin"], "null")[0].name == "grading_null"
    written = save_grading_charts(grades, tmp_path, "null")
    assert [path.name for path in written] == ["grading.svg", "grading.png", "grading_null.svg", "grading_null.png"]
    assert "Exact ablation" in (tmp_path / "grading.svg").read_text()


def test_the_page_has_every_scorer_and_role(grades):
    page = grading_page(grades)
    assert "Exact ablation (A3)" in page
    assert "redundant (1)" in page


def test_null_worlds_of_a_real_model():
    twin = null_case("ref-llava", "twin", 40)
    assert twin.vlm.name == "untrained twin of ref-llava"
    exchanged = null_case("ref-llava", "exchanged", 40)
    own, new = twin.data.steps(), exchanged.data.steps()
    assert (own["gold"] == new["gold"]).all()
    assert (own["functions"] != new["functions"]).mean() > 0.2
    # Whole sequences move: the multiset of a source's sequences of one length stays.
    for length, some in own.groupby("n_steps"):

        def sequences(table, length=length):
            return sorted(
                "/".join(rows) for _, rows in table[table["n_steps"] == length].groupby("question")["functions"]
            )

        assert sequences(own) == sequences(new)
        assert len(some)
    with pytest.raises(HeadAtlasError, match="got 'sleepy'"):
        null_case("ref-llava", "sleepy")
