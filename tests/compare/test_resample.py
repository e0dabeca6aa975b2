"""Resamples and halves compared with their expected values."""

import numpy as np
import pytest

from headatlas.cogvsr import FUNCTIONS
from headatlas.compare.resample import halves, resampled
from headatlas.scoring import PerSample
from headatlas.stats import half_width


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(60) * 7, 4)  # cluster numbers need not be 0..K-1
    return PerSample(rng.normal(0.3, 1, (240, 2, 3)), rng.integers(0, len(FUNCTIONS) - 1, 240), cluster)


def test_resamples_scatter_around_the_score(samples):
    draws, mean = resampled(samples, n=2000), samples.mean()
    known = np.isfinite(draws).all((0, 2, 3))
    assert known.tolist() == [True] * 7 + [False]  # the last function has no step
    np.testing.assert_allclose(draws[:, known].mean(0), mean[known], atol=0.05)


def test_half_an_interval_is_that_of_a_mean():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 2, (400, 1, 1))
    one = PerSample(values, np.zeros(400, dtype=int), np.arange(400))
    half = half_width(resampled(one, n=3000))[0, 0, 0]
    assert half == pytest.approx(1.96 * values.std() / np.sqrt(400), rel=0.08)


def test_two_halves_make_the_whole(samples):
    """Where every question has one step, the mean of both halves is the score."""
    one = PerSample(samples.values[:60], np.zeros(60, dtype=int), np.arange(60))
    first, second = halves(one)
    np.testing.assert_allclose((first[:, 0] + second[:, 0]) / 2, np.broadcast_to(one.mean()[0], first[:, 0].shape))
    assert not np.allclose(first[:, 0], second[:, 0])


def test_one_draw_has_no_width():
    assert np.isnan(half_width(np.ones((1, 2)))).all()
