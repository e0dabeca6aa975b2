import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import directions


def test_direction_points_from_wrong_to_right_and_ignores_the_kind(store):
    found = directions(store)
    assert found.usable
    assert found.u.shape == (3, 4, 6)
    np.testing.assert_allclose(np.linalg.norm(found.u, axis=-1), 1, rtol=1e-5)
    assert (found.u[..., 0] > 0.9).all()
    # Kinds differ by 50 along coordinate 1, and the easy kind is right far more often.
    assert (np.abs(found.u[..., 1]) < 0.3).all()
    naive = store.data[:80][store.steps["correct"][:80]].mean(0) - store.data[:80][~store.steps["correct"][:80]].mean(0)
    assert (naive[..., 1] > 10).all()


def test_it_is_the_weighted_mean_of_differences_within_kinds(store):
    steps, z = store.steps[:80], store.data[:80]
    total = 0
    for kind in ("easy", "hard"):
        right = z[steps["correct"] & (steps["kind"] == kind)]
        wrong = z[~steps["correct"] & (steps["kind"] == kind)]
        total = total + (right.mean(0) - wrong.mean(0)) * len(right) * len(wrong) / (len(right) + len(wrong))
    expected = total / np.linalg.norm(total, axis=-1, keepdims=True)
    found = directions(store, tokens="gold")
    np.testing.assert_allclose(found.u, expected, atol=1e-4)
    np.testing.assert_allclose(found.sigma, np.einsum("nlhd,lhd->nlh", z, expected).std(0), rtol=1e-3)
    assert found.n_correct + found.n_incorrect == 80


def test_the_evaluated_split_has_no_part_in_it(store):
    before = directions(store).u
    store.data[80:] += 1000
    np.testing.assert_array_equal(directions(store).u, before)


def test_too_few_wrong_steps_give_an_empty_result_with_a_reason(store):
    found = directions(store, correct=np.arange(100) >= 5)
    assert not found.usable
    assert "5 wrong" in found.reason
    assert not found.u.any()
    with pytest.raises(HeadAtlasError, match="at least 10 of each are needed"):
        found.edit(HeadSet([Head(0, 0)]), 1.0)


def test_a_kind_that_is_always_right_says_nothing(store):
    easy = (store.steps["kind"] == "easy").to_numpy()
    found = directions(store, correct=easy | (np.arange(100) % 4 == 1))
    assert found.n_correct + found.n_incorrect == 40


def test_controls_have_equal_norm(store):
    found, heads = directions(store), HeadSet([Head(2, 1)])
    np.testing.assert_array_equal(found.flipped().u, -found.u)
    assert (np.abs((found.random(1).u * found.u).sum(-1)) < 0.99).all()
    np.testing.assert_array_equal(found.random(1).u, found.random(1).u)
    shuffled = [directions(store, shuffle=seed) for seed in range(20)]
    assert all(each.usable for each in shuffled)
    assert np.abs(np.mean([each.u[..., 0] for each in shuffled])) < 0.4, "as often towards wrong as towards right"
    norms = []
    for each in (found, found.flipped(), found.random(1)):
        shift = each.edit(heads, 2.0).shift
        assert shift is not None
        norms.append(float(shift[2, 1].norm()))
    np.testing.assert_allclose(norms, 2 * found.sigma[2, 1], rtol=1e-5)


def test_mistakes_are_one_line(store):
    with pytest.raises(HeadAtlasError, match="no step of split 'T'"):
        directions(store, split="T")
    with pytest.raises(HeadAtlasError, match="got 'colour'"):
        directions(store, within="colour")
    with pytest.raises(HeadAtlasError, match="cognitive function must be one of"):
        directions(store, function="spatial")
