"""Layer profiles compared with sums by hand and integrals on a fine grid."""

import numpy as np
import pytest

from headatlas.compare.profiles import binned, correlation, distance, layer_mass, n_bins


def test_mass_counts_positive_scores_only_and_sums_to_one():
    values = np.array([[[1.0, 3.0], [-5.0, 0.0], [2.0, -1.0]]])
    np.testing.assert_allclose(layer_mass(values), [[4 / 6, 0, 2 / 6]])
    assert np.isnan(layer_mass(-np.abs(values))).all()


def test_bins_share_a_layer_by_how_much_of_it_they_cover():
    np.testing.assert_allclose(binned(np.array([0.6, 0.4]), 4), [0.3, 0.3, 0.2, 0.2])
    np.testing.assert_allclose(binned(np.array([0.3, 0.6, 0.1]), 2), [0.6, 0.4])
    mass = np.random.default_rng(0).dirichlet(np.ones(7), size=5)
    np.testing.assert_allclose(binned(mass, 7), mass)
    np.testing.assert_allclose(binned(mass, 4).sum(-1), 1)


@pytest.mark.parametrize("layers", [2, 6, 28])
def test_all_in_the_first_against_all_in_the_last_layer(layers):
    first, last = np.eye(layers)[0], np.eye(layers)[-1]
    assert float(distance(first, last)) == pytest.approx((layers - 1) / layers)
    assert float(distance(first, first)) == 0


@pytest.mark.parametrize(("one", "two"), [(6, 6), (6, 9), (28, 36), (5, 80)])
def test_distance_is_the_area_between_the_cumulative_curves(one, two):
    rng = np.random.default_rng(one)
    a, b = rng.dirichlet(np.full(one, 0.3)), rng.dirichlet(np.full(two, 0.3))
    depth = np.linspace(0, 1, 200_001)
    curves = [np.interp(depth, np.linspace(0, 1, len(m) + 1), [0, *np.cumsum(m)]) for m in (a, b)]
    area = np.trapezoid(np.abs(curves[0] - curves[1]), depth)
    assert float(distance(a, b)) == pytest.approx(area, abs=1e-6)
    assert float(distance(b, a)) == pytest.approx(area, abs=1e-6)


def test_layers_told_twice_as_finely_are_the_same_profile():
    mass = np.array([0.5, 0.2, 0.3])
    assert float(distance(mass, np.repeat(mass / 2, 2))) == pytest.approx(0, abs=1e-12)


def test_what_is_not_known_stays_unknown():
    known, unknown = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.5, 0.5], [np.nan, np.nan]])
    assert np.isnan(distance(known, unknown)).tolist() == [False, True]
    assert np.isnan(correlation(known, unknown)).all()  # the first is constant


def test_correlation_is_pearsons():
    a, b = np.random.default_rng(1).normal(size=(2, 3, 9))
    np.testing.assert_allclose(correlation(a, b), [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def test_bins_are_the_shallowest_models_layers():
    assert n_bins([6, 28]) == 6
    assert n_bins([36, 28]) == 20
