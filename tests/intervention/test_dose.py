import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.intervention import dose_curve

EVERY = [Head(layer, head) for layer in range(3) for head in range(4)]
RANKING = [Head(2, 2), Head(1, 0), *(h for h in EVERY if h not in (Head(2, 2), Head(1, 0)))]


def test_selected_falls_at_the_planted_head_and_least_at_the_end(runner):
    table = dose_curve(runner, RANKING, "spatial_perception", [0, 1, 2, 11, 12], "zero", n_random=0)
    curve = table.pivot(index="k", columns="set", values="accuracy")
    assert curve["selected"].tolist() == [0.8, 0.8, 0, 0, 0]
    assert curve["least"].tolist() == [0.8, 0.8, 0.8, 0, 0]
    first = table.iloc[0]
    assert first["low"] < 0.8 < first["high"]
    assert (first["n"], first["unparsable"]) == (40, pytest.approx(0.1))


def test_random_is_the_mean_over_sets_and_shared_by_functions(runner, vlm):
    table = dose_curve(runner, RANKING, "spatial_perception", [6], "zero", n_random=8)
    row = table.set_index("set").loc["random"]
    assert 0 < row["accuracy"] < 0.8
    assert row["accuracy"] * 8 / 0.8 == pytest.approx(round(row["accuracy"] * 8 / 0.8))
    assert (row["low"], row["high"]) == (0, 0.8)
    seen = vlm.evaluations
    other = dose_curve(runner, RANKING[::-1], "relational_reasoning", [6], "zero", n_random=8)
    assert vlm.evaluations == seen, "the ranking turned round has the same two halves, and random sets are shared"
    assert set(other["set"]) == {"selected", "least", "random"}


def test_a_function_without_steps(runner):
    row = dose_curve(runner, RANKING, "decision_making", [1], "zero", n_random=1).iloc[0]
    assert row["n"] == 0
    assert np.isnan(row["accuracy"])


def test_mistakes_are_one_line(runner):
    with pytest.raises(HeadAtlasError, match="between 0 and 12 heads, got 13"):
        dose_curve(runner, RANKING, "spatial_perception", [1, 13], "zero")
