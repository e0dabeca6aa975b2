"""How few heads do a function's work, in a model where one head does each."""

import numpy as np
import pytest

from headatlas.heads import Head
from headatlas.intervention import concentration
from headatlas.results import validate

EVERY = [Head(layer, head) for layer in range(3) for head in range(4)]


def ranked(*first):
    return [*first, *(head for head in EVERY if head not in first)]


@pytest.fixture
def table(runner):
    rankings = {
        "spatial_perception": ranked(Head(1, 0)),
        "relational_reasoning": ranked(Head(2, 2), Head(2, 3)),  # the wrong heads first
        "math_reasoning": ranked(Head(0, 0)),
    }
    made = concentration(runner, rankings, (3, 4), (1, 2), "zero", scorer="paper", n_boot=200)
    return validate("concentration", made).set_index(["function", "k"])


def test_one_head_does_all_of_the_damage(table):
    row = table.loc[("spatial_perception", 1)]
    assert (row["ratio"], row["low"], row["high"], row["n"]) == (1, 1, 1, 40)
    assert row["drop"] == row["all_drop"] == pytest.approx(0.8)
    assert row["share"] == pytest.approx(1 / 12)
    assert row["n_random"] == 0  # only the largest dose is compared


def test_random_sets_of_as_many_heads_are_the_control(table):
    row = table.loc[("spatial_perception", 2)]
    # Of the 66 pairs of 12 heads 11 have the head that matters.
    assert row["n_random"] == 39
    assert 0 < row["random_ratio"] < 0.4
    assert row["beyond"] == pytest.approx(0.8 * (1 - row["random_ratio"]))
    assert 0.3 < row["beyond_low"] < row["beyond"] < row["beyond_high"] < 1
    # Half of the wrong answers of this model are unreadable.
    assert row["form"] == pytest.approx(0.5)


def test_a_ranking_with_the_wrong_heads_first_does_nothing(table):
    row = table.loc[("relational_reasoning", 2)]
    assert (row["ratio"], row["drop"]) == (0, 0)
    assert row["beyond"] < 0
    assert np.isnan(row["form"])


def test_a_function_that_no_head_carries_has_no_ratio(table):
    row = table.loc[("math_reasoning", 2)]
    assert row["all_drop"] == 0
    assert np.isnan(row["ratio"])
    assert np.isnan(row["random_ratio"])
