"""Similarity and its null for known cases: equal, equal in another order, and noise."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from headatlas.compare.chance import against, matrices, profiles, vectors, without_means

ORDERS = 40_320


def symmetric(seed, n=8):
    half = np.random.default_rng(seed).normal(size=(n, n))
    return half + half.T


def square(seed, n=8):
    return np.random.default_rng(seed).normal(size=(n, n))


def test_the_same_counts_in_the_same_order_are_as_rare_as_can_be():
    found = vectors(np.arange(8.0), np.arange(8.0) ** 3)
    assert (found.value, found.n) == (1.0, 8)
    assert found.p == pytest.approx(1 / ORDERS)
    assert found.chance_low < -0.6 < 0.6 < found.chance_high


def test_counts_are_ranked_and_unknown_ones_left_out():
    a, b = np.random.default_rng(0).normal(size=(2, 8))
    assert vectors(a, b).value == pytest.approx(spearmanr(a, b).statistic)
    a[2], b[5] = np.nan, np.nan
    kept = [0, 1, 3, 4, 6, 7]
    found = vectors(a, b)
    assert (found.value, found.n) == (pytest.approx(spearmanr(a[kept], b[kept]).statistic), 6)
    assert np.isnan(vectors(a[:4], b[:4]).value)  # three are too few
    assert np.isnan(vectors(np.ones(8), np.arange(8.0)).value)


@pytest.mark.parametrize("make", [symmetric, square])
def test_a_matrix_is_like_itself_and_not_like_itself_in_another_order(make):
    a = make(0)
    order = np.random.default_rng(3).permutation(8)
    same, other = matrices(a, a), matrices(a, a[np.ix_(order, order)])
    assert same.value == pytest.approx(1)
    assert same.p == pytest.approx(1 / ORDERS)
    assert abs(other.value) < 0.6
    assert other.p > 0.01


def test_cells_of_a_symmetric_matrix_count_once():
    a, b = symmetric(1), symmetric(2)
    upper = np.triu_indices(8, 1)
    found = matrices(a, b)
    assert (found.value, found.n) == (pytest.approx(spearmanr(a[upper], b[upper]).statistic), 28)


def test_the_diagonal_counts_only_where_asked():
    a, b = square(1), square(2)
    off = ~np.eye(8, dtype=bool)
    assert matrices(a, b).value == pytest.approx(spearmanr(a[off], b[off]).statistic)
    assert matrices(a, b, diagonal=True).value == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)


def test_a_function_that_one_matrix_does_not_know_is_left_out_of_both():
    a, b = square(1), square(2)
    a[3], b[:, 5] = np.nan, np.nan
    kept = np.ix_([0, 1, 2, 4, 6, 7], [0, 1, 2, 4, 6, 7])
    found = matrices(a, b, diagonal=True)
    assert (found.value, found.n) == (pytest.approx(spearmanr(a[kept].ravel(), b[kept].ravel()).statistic), 36)
    a[1:] = np.nan
    assert np.isnan(matrices(a, b).value)


def test_noise_is_called_alike_at_the_rate_that_p_says():
    p = np.array([matrices(symmetric(s, 5), symmetric(1000 + s, 5)).p for s in range(300)])
    assert 0.02 < (p <= 0.05).mean() < 0.09
    assert 0.4 < p.mean() < 0.6


def test_what_a_row_or_column_is_by_itself_goes():
    row, column = np.arange(8.0)[:, None], 10 * np.arange(8.0)[None, :]
    np.testing.assert_allclose(without_means(row + column), 0, atol=1e-12)
    extra = np.zeros((8, 8))
    extra[2, 5] = 3
    left = without_means(row + column + extra)
    assert np.unravel_index(left.argmax(), left.shape) == (2, 5)
    assert np.isnan(without_means(np.full((3, 3), np.nan))).all()


def deep(seed, layers=10):
    """Eight profiles, each with its mass around a depth of its own."""
    centres = np.linspace(0.1, 0.9, 8)[:, None]
    depth = (np.arange(layers) + 0.5) / layers
    mass = np.exp(-(((depth - centres) / 0.15) ** 2)) + 0.05 * np.random.default_rng(seed).random((8, layers))
    return mass / mass.sum(1, keepdims=True)


def test_the_same_profiles_lie_at_no_distance_and_closer_than_chance():
    found = profiles(deep(0), deep(0), 10)
    assert found.mean_distance.value == 0
    assert found.mean_correlation.value == pytest.approx(1)
    assert max(found.mean_distance.p, found.mean_correlation.p, found.match.p) < 0.01
    assert found.mean_distance.chance_low > 0.05
    assert found.match.value > 0.2
    assert all(one.value == 0 for one in found.distance)


def test_models_of_different_depth_with_the_same_profiles_are_alike_too():
    found = profiles(deep(0, 12), deep(1, 30), 12)
    assert found.mean_distance.value < 0.05
    assert max(found.mean_distance.p, found.mean_correlation.p, found.match.p) < 0.01


def test_functions_in_each_others_places_share_no_place_but_the_model_wide_one():
    a = deep(0)
    crossed = profiles(a, a[::-1], 10)
    assert crossed.match.value < 0
    assert crossed.match.p > 0.5
    assert crossed.mean_distance.p > 0.3


def test_a_function_without_mass_leaves_the_others_as_they_are():
    a = deep(0)
    b = a.copy()
    b[4] = np.nan
    found = profiles(a, b, 10)
    assert np.isnan(found.distance[4].value)
    assert found.mean_distance.value == 0
    assert found.mean_distance.n == 7


def test_p_counts_the_measured_value_itself():
    assert against(2.0, np.array([0.0, 1.0, 3.0]), 3).p == pytest.approx(2 / 4)
    assert against(2.0, np.array([0.0, 1.0, 3.0]), 3, smaller=True).p == pytest.approx(3 / 4)
    assert np.isnan(against(2.0, np.array([np.nan]), 3).p)
