import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.heads import Head, HeadSet
from headatlas.intervention import damage_matrix, matrix, specificity

SETS = {
    "relational_reasoning": HeadSet([Head(1, 1)]),
    "spatial_perception": HeadSet([Head(1, 0), Head(1, 1)]),
    "math_reasoning": HeadSet(),
}


def test_matrix_of_planted_heads(runner, vlm):
    table = damage_matrix(runner, SETS, "zero", scorer="a")
    assert list(table.columns) == ["scorer", "heads_of", "steps_of", "k", "drop", "low", "high", "n"]
    assert len(table) == 3 * 8
    found = matrix(table)
    spatial, relational, math = (
        FUNCTIONS.index(f) for f in ("spatial_perception", "relational_reasoning", "math_reasoning")
    )
    np.testing.assert_allclose(found[spatial, [spatial, relational, math]], [0.8, 1, 0])
    np.testing.assert_allclose(found[relational, [spatial, relational, math]], [0, 1, 0])
    assert not found[math, [spatial, relational, math]].any()
    assert np.isnan(found[FUNCTIONS.index("decision_making")]).all()
    assert np.isnan(found[spatial, FUNCTIONS.index("decision_making")])
    assert vlm.evaluations == 3, "bare model and two sets: the empty set is the bare model"
    cell = table[(table["heads_of"] == "spatial_perception") & (table["steps_of"] == "spatial_perception")].iloc[0]
    assert cell["low"] < cell["drop"] < cell["high"]
    assert (cell["k"], cell["n"]) == (2, 40)


def test_specificity_is_own_minus_others(runner):
    found = specificity(damage_matrix(runner, SETS, "zero"))
    assert found["spatial_perception"] == pytest.approx(0.8 - 0.5)
    assert found["relational_reasoning"] == pytest.approx(1.0)
    assert found["math_reasoning"] == 0
