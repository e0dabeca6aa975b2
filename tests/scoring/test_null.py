import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.null import movable, permutation, permuted_labels, pooled_p, strata


def test_permutations_stay_in_their_strata():
    steps = pd.DataFrame({"source": list("aabbbb"), "answer_type": list("xyxxyy")})
    number = strata(steps)
    assert number.tolist() == [0, 1, 2, 2, 3, 3]
    rng = np.random.default_rng(0)
    orders = np.stack([permutation(number, rng) for _ in range(50)])
    assert (number[orders] == number).all()
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert len({tuple(order) for order in orders}) == 4  # every permutation inside the two strata of two occurs
    with pytest.raises(HeadAtlasError, match="got 'room'"):
        strata(steps, ("room",))


def test_labels_of_a_step_move_together():
    labels = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=bool)
    many = permuted_labels(labels, np.zeros(4, dtype=np.int64), 20, np.random.default_rng(0))
    rows = {tuple(row) for row in labels.tolist()}
    assert {tuple(row) for one in many.tolist() for row in one} == rows
    assert (many.sum(1) == labels.sum(0)).all()
    assert (many != labels).any()


def test_movable_is_zero_where_a_function_fills_its_stratum():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    share = movable(labels, np.array([0, 0, 1, 1]))
    assert share.tolist() == [0.0, 0.5, 0.5]


def test_pooled_p_by_hand():
    null = np.arange(8.0).reshape(2, 2, 2, 1)  # function 0: 0 1 4 5, function 1: 2 3 6 7
    values = np.array([[[9.0], [1.0]], [[6.5], [-1.0]]])
    assert pooled_p(values, null).ravel().tolist() == [1 / 5, 4 / 5, 2 / 5, 1.0]


def test_pooling_over_functions_scales_each_by_its_null():
    rng = np.random.default_rng(0)
    null = rng.normal(size=(50, 3, 4, 4)) * np.array([1, 100, 0])[None, :, None, None]
    values = np.zeros((3, 4, 4))
    values[0, 0, 0] = 10
    values[1, 0, 0] = 10  # far within its own null
    p = pooled_p(values, null, over="all")
    assert p[0, 0, 0] == 1 / (50 * 2 * 16 + 1)
    assert p[1, 0, 0] > 0.3
    assert (p[2] == 1).all()


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(101, 2, 8, 8))
    p = np.concatenate([pooled_p(draws[i], np.delete(draws, i, 0)).ravel() for i in range(0, 101, 10)])
    assert abs((p <= 0.05).mean() - 0.05) < 0.015


def test_no_null_and_unknown_pooling():
    with pytest.raises(HeadAtlasError, match="n_null must be >= 1"):
        pooled_p(np.zeros((8, 1, 1)), np.zeros((0, 8, 1, 1)))
    with pytest.raises(HeadAtlasError, match="'layers'"):
        pooled_p(np.zeros((8, 1, 1)), np.zeros((1, 8, 1, 1)), over="layers")
