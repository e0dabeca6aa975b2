import numpy as np
import pandas as pd
import pytest

from headatlas.heads import Head, HeadSet
from headatlas.intervention import add_q, negative, random_sets
from headatlas.intervention.negative import _parsable, joint_interval
from headatlas.results import RESULTS

PLANTED = HeadSet([Head(1, 0)])


@pytest.fixture
def controls():
    return random_sets(PLANTED, (3, 4), 20, "uniform")


@pytest.mark.parametrize("operation", ["zero", "scale", "mean"])
def test_the_planted_head_falls_and_random_ones_do_not(runner, controls, operation):
    means = np.zeros((3, 4, 6), np.float32)
    row = negative(runner, PLANTED, "spatial_perception", controls, operation, means, scorer="paper")
    assert tuple(row) == RESULTS["negative"].names
    # 40 questions of E, every fifth wrong to begin with.
    assert (row["before"], row["after"], row["n"]) == (0.8, 0.0, 40)
    assert row["drop"] == pytest.approx(0.8)
    assert 0.6 < row["low"] < 0.8 < row["high"] < 0.95
    assert (row["random_drop"], row["random_high"], row["n_random"]) == (0, 0, 11)
    assert row["p"] == pytest.approx(1 / 12)
    assert row["p_mcnemar"] == pytest.approx(2 * 0.5**32)
    assert row["unparsable_after"] == pytest.approx(0.5)
    assert (row["beyond"], row["specific"]) == (pytest.approx(0.8), pytest.approx(0.8))
    assert 0.6 < row["beyond_low"] < 0.8 < row["beyond_high"] < 0.95
    # The 20 answers that can still be read were right in 16 cases.
    assert row["parsable_drop"] == pytest.approx(0.8)
    assert row["match"] == "from any layer"
    assert (row["k"], row["heads"], row["scorer"], row["operation"]) == (1, "L1.H0", "paper", operation)


def test_controls_that_fall_as_far_take_the_significance_away(runner):
    row = negative(runner, PLANTED, "spatial_perception", [HeadSet([Head(1, 0), Head(0, 0)])] * 3, "zero")
    assert row["p"] == 1
    assert row["random_drop"] == pytest.approx(0.8)
    assert row["beyond"] == row["beyond_low"] == row["beyond_high"] == 0


def test_another_functions_steps_stay(runner, controls):
    row = negative(runner, PLANTED, "math_reasoning", controls, "zero")
    assert (row["drop"], row["low"], row["high"], row["p"], row["p_mcnemar"]) == (0, 0, 0, 1, 1)


def test_no_heads_no_test(runner):
    row = negative(runner, HeadSet(), "spatial_perception", [], "zero")
    assert (row["k"], row["drop"], row["before"], row["after"]) == (0, 0, 0.8, 0.8)
    assert np.isnan(row["p"])
    assert np.isnan(row["p_mcnemar"])


def test_q_is_benjamini_hochberg_over_rows_with_a_p():
    table = add_q(pd.DataFrame({"p": [0.01, np.nan, 0.04, 0.03], "q": np.nan}))
    np.testing.assert_allclose(table["q"], [0.03, np.nan, 0.04, 0.04])


def test_broken_answers_are_told_apart_from_wrong_ones(runner):
    """Of the answers that can still be read none is wrong for a function whose steps the heads do not carry."""
    row = negative(runner, PLANTED, "math_reasoning", [], "zero")
    assert row["parsable_drop"] == 0
    assert np.isnan(row["specific"])  # no other function that is not spatial is there
    assert np.isnan(row["beyond"])


def test_the_interval_of_the_difference_covers_scenes_and_sets():
    """Own effect .3, sets' effects around .1 with spread .05: the interval misses the true difference in about 5 % of cases."""
    rng = np.random.default_rng(0)
    missed = 0
    for seed in range(200):
        scenes = np.repeat(np.arange(40), 3).astype(str)
        own = (rng.random(120) < 0.3).astype(float)
        theirs = (rng.random((40, 120)) < np.clip(rng.normal(0.1, 0.05, size=(40, 1)), 0, 1)).astype(float)
        low, high = joint_interval(own, theirs, scenes, seed, 400)
        missed += not low <= 0.2 <= high
    assert missed / 200 < 0.11
    assert np.isnan(joint_interval(own, theirs, np.zeros(120), 0)[0])


def test_the_drop_and_its_controls_are_of_the_same_questions(runner):
    """The planted head as its own control: on a part of the split, as on all of it, both must fall alike."""
    for split, n in (("E", 40), ("E[:7]", 7)):
        row = negative(runner, PLANTED, "spatial_perception", [PLANTED] * 3, "zero", split=split)
        assert row["n"] == n
        assert row["drop"] == pytest.approx(row["random_drop"])
        assert row["p"] == 1


def test_the_readable_drop_is_of_the_answers_that_can_still_be_read():
    steps = {"question": [f"q{i}" for i in range(10)], "step": 0, "scene": [f"s{i}" for i in range(10)]}
    before = pd.DataFrame(steps).assign(correct=True, unparsable=False)
    # Four answers are unreadable, and of the six others one is wrong.
    after = before.assign(correct=[False] * 5 + [True] * 5, unparsable=[True] * 4 + [False] * 6)
    found = _parsable(before, after, np.ones(10, bool), 200, 0)
    assert found["parsable_drop"] == pytest.approx(1 / 6)
    assert found["parsable_low"] <= 1 / 6 <= found["parsable_high"] < 0.7
