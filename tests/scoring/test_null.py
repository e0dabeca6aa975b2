import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.null import STRATA, _standardised, movable, permutation, permuted_labels, pooled_p, strata


def test_permutations_stay_in_their_strata():
    steps = pd.DataFrame({"source": list("aabbbb"), "answer_type": list("xyxxyy")})
    number = strata(steps)
    assert number.tolist() == [0, 1, 2, 2, 3, 3]
    rng = np.random.default_rng(0)
    orders = np.stack([permutation(steps, rng, STRATA) for _ in range(50)])
    assert (number[orders] == number).all()
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert len({tuple(order) for order in orders}) == 4  # every permutation inside the two strata of two occurs
    with pytest.raises(HeadAtlasError, match="got 'room'"):
        strata(steps, ("room",))


def test_labels_of_a_step_move_together():
    labels = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=bool)
    steps = pd.DataFrame({"question": list("abcd"), "source": "one"})
    many = permuted_labels(labels, steps, 20, np.random.default_rng(0))
    rows = {tuple(row) for row in labels.tolist()}
    assert {tuple(row) for one in many.tolist() for row in one} == rows
    assert (many.sum(1) == labels.sum(0)).all()
    assert (many != labels).any()


def test_movable_is_zero_where_a_function_fills_its_stratum():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    share = movable(labels, pd.DataFrame({"place": [0, 0, 1, 1]}), ("place",))
    assert share.tolist() == [0.0, 0.5, 0.5]
    # Two questions of two steps: the first step always needs the first function.
    sequences = pd.DataFrame({"question": list("abab"), "source": "one"})
    assert movable(labels, sequences).tolist() == [0.0, 0.5, 0.5]


def test_label_sequences_are_exchanged_whole():
    """Questions of 2, 2, 3 and 2 steps, the last from another source: only the first two can exchange their labels."""
    steps = pd.DataFrame({"question": list("aabbcccdd"), "source": list("xxxxxxxyy")})
    orders = {tuple(permutation(steps, np.random.default_rng(seed))) for seed in range(40)}
    assert orders == {(0, 1, 2, 3, 4, 5, 6, 7, 8), (2, 3, 0, 1, 4, 5, 6, 7, 8)}
    # Rows of a question need not be neighbours.
    mixed = pd.DataFrame({"question": list("abab"), "source": "x"})
    orders = {tuple(permutation(mixed, np.random.default_rng(seed))) for seed in range(40)}
    assert orders == {(0, 1, 2, 3), (1, 0, 3, 2)}


def test_a_label_that_the_place_alone_explains_is_no_finding():
    """z holds the place of a step, which decides its label: permuting step by step calls that a finding, sequences do not."""
    rng = np.random.default_rng(0)
    steps = pd.DataFrame({"question": np.repeat(np.arange(60), 4), "source": "x", "answer_type": "word"})
    place = steps.groupby("question").cumcount().to_numpy()
    labels = np.zeros((240, 8), dtype=bool)
    labels[np.arange(240), place] = True
    score = (place[:, None, None] == 0) + rng.normal(size=(240, 2, 2)) / 5

    def p(within):
        values, null = np.zeros((8, 2, 2)), []
        for one in [labels, *permuted_labels(labels, steps, 50, rng, within)]:
            grid = np.zeros((8, 2, 2))
            grid[0] = score[one[:, 0]].mean(0) - score[~one[:, 0]].mean(0)
            null.append(grid)
        values, null = null[0], np.stack(null[1:])
        return pooled_p(values, null)[0]

    assert (p(STRATA) < 0.01).all()
    assert (p("questions") == 1).all()


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


@pytest.mark.parametrize("repeats", [20, 101])
def test_p_is_uniform_under_the_null_for_every_head_whatever_its_spread(repeats):
    """Heads whose scores vary ten times more are not selected more often."""
    rng = np.random.default_rng(1)
    spread = np.where(np.arange(64).reshape(8, 8) % 4 == 0, 10.0, 1.0)
    p = np.stack([pooled_p(draws[0], draws[1:]) for draws in rng.normal(size=(60, repeats, 2, 8, 8)) * spread])
    assert abs((p <= 0.05).mean() - 0.05) < 0.01
    assert abs((p <= 0.05)[..., spread > 1].mean() - 0.05) < 0.015
    assert (p <= 0.005).mean() < 0.01


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


def test_each_head_is_measured_from_its_own_null():
    """Two heads whose null scores lie around 0 and around 5: a score in the middle of its own null is no deviation."""
    rng = np.random.default_rng(0)
    null = rng.normal(size=(200, 1, 1, 2)) + np.array([0.0, 5.0])
    values, scaled = _standardised(np.array([[[0.0, 5.0]]]), null)
    assert np.abs(values).max() < 0.3
    assert np.abs(scaled.mean(0)).max() < 0.1
    assert np.abs(scaled.std(0) - 1).max() < 0.15
