from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from headatlas import stats
from headatlas.errors import HeadAtlasError


def _clustered(rng, k=60, size=5, between=1.0):
    clusters = np.repeat(np.arange(k), size)
    return rng.normal(size=k)[clusters] * between + rng.normal(size=k * size), clusters


def test_the_mean_of_independent_values_has_the_textbook_interval():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    found = stats.cluster_bootstrap(values, np.arange(400))
    error = values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert found.n == 400
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)


def test_clusters_widen_the_interval_and_cover_the_truth():
    rng = np.random.default_rng(1)
    covered, covered_naive = 0, 0
    for trial in range(60):
        values, clusters = _clustered(rng)
        honest = stats.cluster_bootstrap(values, clusters, n=600, seed=trial)
        naive = stats.cluster_bootstrap(values, np.arange(len(values)), n=600, seed=trial)
        covered += honest.low <= 0 <= honest.high
        covered_naive += naive.low <= 0 <= naive.high
    assert covered >= 52
    assert covered_naive <= 50


def test_a_general_statistic_agrees_with_the_fast_mean():
    values, clusters = _clustered(np.random.default_rng(2), k=15, size=3)
    fast = stats.cluster_bootstrap(values, clusters, n=500)
    slow = stats.cluster_bootstrap(values, clusters, n=500, statistic=np.mean)
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high))
    median = stats.cluster_bootstrap(values, clusters, n=500, statistic=np.median)
    assert median.value == pytest.approx(np.median(values))


def test_the_bootstrap_is_deterministic_and_does_not_depend_on_chunks(monkeypatch):
    values, clusters = _clustered(np.random.default_rng(3))
    one = stats.cluster_bootstrap(values, clusters, n=1000, seed=5)
    assert stats.cluster_bootstrap(values, clusters, n=1000, seed=5) == one
    assert stats.cluster_bootstrap(values, clusters, n=1000, seed=6) != one
    monkeypatch.setattr(stats, "_CHUNK", 60 * 7)
    assert stats.cluster_bootstrap(values, clusters, n=1000, seed=5).low == pytest.approx(one.low)


def test_labels_of_any_kind_and_unequal_clusters_give_the_ratio_of_sums():
    values = pd.Series([1.0, 0.0, 1.0, np.nan, 1.0], index=[9, 3, 1, 7, 5])
    found = stats.cluster_bootstrap(values, pd.Series(["a", "a", "b", "b", "c"]), n=2000)
    assert found.value == 0.75
    assert found.n == 4
    assert 0.5 <= found.low <= 0.75 < found.high == 1.0


def test_edges_of_the_bootstrap():
    with pytest.raises(HeadAtlasError, match="got none"):
        stats.cluster_bootstrap([], [])
    with pytest.raises(HeadAtlasError, match="got none"):
        stats.cluster_bootstrap([np.nan], [0])
    with pytest.raises(HeadAtlasError, match="2 values and 1 clusters"):
        stats.cluster_bootstrap([1, 0], [0])
    single = stats.cluster_bootstrap([1, 0, 1], ["q", "q", "q"])
    assert single.value == pytest.approx(2 / 3)
    assert np.isnan([single.low, single.high, single.p]).all()
    equal = stats.cluster_bootstrap([1, 1, 1], [0, 1, 2], n=100)
    assert (equal.value, equal.low, equal.high) == (1, 1, 1)


def test_a_difference_without_spread_has_the_p_of_a_sign_test():
    for k in (2, 3, 8):
        same = stats.paired_bootstrap(np.zeros(k), np.ones(k), np.arange(k), n=500)
        assert (same.value, same.p) == (1, 2.0 ** (1 - k))


def test_infinite_values_are_refused():
    for call in (
        lambda: stats.cluster_bootstrap([1, np.inf], [0, 1]),
        lambda: stats.paired_bootstrap([1, -np.inf], [0, 1], [0, 1]),
        lambda: stats.tost([np.inf, 0], [0, 1], 1),
        lambda: stats.gini([np.inf, 1]),
        lambda: stats.spearman([1, 2, np.inf], [1, 2, 3]),
    ):
        with pytest.raises(HeadAtlasError, match="finite or NaN"):
            call()


def test_paired_difference_and_its_p():
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(100), 3)
    before = rng.random(300) < 0.8
    after = before & (rng.random(300) < 0.7)
    found = stats.paired_bootstrap(before, after, clusters)
    assert found.value == pytest.approx(after.mean() - before.mean())
    assert found.high < 0
    assert found.p == pytest.approx(2 / 10_001)
    assert stats.paired_bootstrap(before, before, clusters).p == 1
    with pytest.raises(HeadAtlasError, match="before"):
        stats.paired_bootstrap([1, 0], [1], [0, 1])


def test_the_p_of_a_null_difference_is_uniform_enough():
    rng = np.random.default_rng(5)
    p = [stats.cluster_bootstrap(*_clustered(rng, k=40), n=400).p for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.11


def test_group_means_are_weighted_and_resampled_together():
    values, groups, clusters = [1, 1, 0, 0, 1, 0], ["a", "a", "a", "b", "b", "b"], [0, 1, 2, 0, 1, 2]
    found = stats.bootstrap_groups(values, groups, clusters, n=500)
    assert found.value == pytest.approx((2 / 3 + 1 / 3) / 2)
    contrast = stats.bootstrap_groups(values, groups, clusters, {"a": 1, "b": -1}, n=500)
    assert contrast.value == pytest.approx(1 / 3)
    # group b is group a shifted by one half within every cluster: their difference has no spread, though each mean has
    rng = np.random.default_rng(6)
    base = rng.normal(size=30)
    both = np.concatenate([base, base + 0.5])
    shifted = stats.bootstrap_groups(both, ["a"] * 30 + ["b"] * 30, np.tile(np.arange(30), 2), {"b": 1, "a": -1}, n=300)
    assert (shifted.low, shifted.high) == pytest.approx((0.5, 0.5))
    part = stats.bootstrap_groups(values, groups, clusters, {"b": 1}, n=100)
    assert (part.value, part.n) == (pytest.approx(1 / 3), 3)


def test_denominators_make_a_ratio():
    found = stats.bootstrap_groups([1.0, 3.0], None, [0, 1], denominators=[2.0, 2.0], n=200)
    assert found.value == 1.0
    with pytest.raises(HeadAtlasError, match="'c'"):
        stats.bootstrap_groups([1, 0], ["a", "b"], [0, 1], {"a": 1, "c": 1})


def test_mcnemar_is_the_binomial_test_on_what_changed():
    before = np.array([1] * 10 + [0] * 5 + [1] * 20, dtype=bool)
    after = np.array([0] * 10 + [1] * 2 + [0] * 3 + [1] * 20, dtype=bool)
    assert stats.mcnemar(before, after) == pytest.approx(scipy.stats.binomtest(10, 12).pvalue)
    assert stats.mcnemar(before, before) == 1.0
    with pytest.raises(HeadAtlasError):
        stats.mcnemar([], [])


def test_clustered_mcnemar_counts_clusters_not_values():
    clusters = np.repeat(np.arange(60), 3)
    none, half = np.zeros(180), (clusters < 30).astype(float)
    assert stats.clustered_mcnemar(none, none, clusters) == 1.0
    few = stats.clustered_mcnemar(none, clusters < 3, clusters)
    assert 0.05 < few < 0.1, "nine values of three clusters count as three"
    assert few == pytest.approx(scipy.stats.chi2.sf(3, 1))
    assert stats.clustered_mcnemar(none, half, clusters) < 1e-6
    assert stats.clustered_mcnemar(half, 1 - half, clusters) == pytest.approx(1.0)
    with pytest.raises(HeadAtlasError, match="must have the same length"):
        stats.clustered_mcnemar(none, none, clusters[1:])


def test_benjamini_hochberg_keeps_shape_and_nan():
    p = np.array([[0.01, 0.04, np.nan], [0.03, 0.5, 0.005]])
    q = stats.benjamini_hochberg(p)
    known = ~np.isnan(p)
    assert q.shape == (2, 3)
    assert np.isnan(q[0, 2])
    assert q[known] == pytest.approx(multipletests(p[known], method="fdr_bh")[1])
    assert stats.benjamini_hochberg([]).shape == (0,)
    assert np.isnan(stats.benjamini_hochberg([np.nan])).all()
    with pytest.raises(HeadAtlasError, match="p-values"):
        stats.benjamini_hochberg([1.2])


def test_tost_with_equal_clusters_is_the_t_test_on_their_means():
    values, clusters = _clustered(np.random.default_rng(7), k=50, size=4, between=0.2)
    means = values.reshape(50, 4).mean(1)
    assert stats.tost(values, clusters, 0.3) == pytest.approx(DescrStatsW(means).ttost_mean(-0.3, 0.3)[0])
    assert stats.tost(values - values.mean() + 0.3, clusters, 0.3) == pytest.approx(0.5)


def test_tost_without_any_change_needs_enough_clusters():
    zeros = np.zeros(10)
    assert stats.tost(zeros, np.arange(10), 0.05) == pytest.approx(0.95**10)
    assert stats.tost(np.zeros(200), np.arange(200), 0.05) < 0.001
    assert stats.tost(zeros - 1, np.arange(10), 0.05) == 1
    assert np.isnan(stats.tost(zeros, np.zeros(10), 0.05))
    with pytest.raises(HeadAtlasError, match="delta"):
        stats.tost(zeros, np.arange(10), 0)


def test_p_against_random_controls_counts_ties():
    assert stats.random_control_p(0.5, [0.1, 0.2, 0.5, 0.7]) == pytest.approx(3 / 5)
    assert stats.random_control_p(0.9, np.zeros(99)) == pytest.approx(0.01)
    assert stats.random_control_p(0.1 + 0.2, [0.3]) == 1.0
    assert np.isnan(stats.random_control_p(np.nan, [0.3]))
    with pytest.raises(HeadAtlasError, match="got none"):
        stats.random_control_p(0.1, [])


def test_null_p_pools_and_keeps_shape():
    null = np.arange(100.0).reshape(5, 4, 5)
    p = stats.null_p(np.array([[99.5, 98.0], [-1.0, np.nan]]), null)
    assert p[0] == pytest.approx([1 / 101, 3 / 101])
    assert p[1, 0] == 1
    assert np.isnan(p[1, 1])


def test_spearman_interval():
    rng = np.random.default_rng(8)
    a = rng.normal(size=50)
    b = a + rng.normal(size=50)
    found = stats.spearman(a, b)
    assert found.value == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert 0 < found.low < found.value < found.high < 1
    assert found.p < 0.001
    perfect = stats.spearman([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert perfect.value == pytest.approx(1)
    constant = stats.spearman([1, 2, 3], [1, 1, 1])
    assert np.isnan(constant.value)
    assert np.isnan(stats.spearman([1, 2, np.nan], [1, 2, 3]).low)
    assert np.isnan([perfect.low, perfect.high]).all(), "Fisher's interval would have no width"


def test_spearman_covers_the_truth():
    rng = np.random.default_rng(9)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    inside = 0
    for _ in range(300):
        pair = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=48)
        found = stats.spearman(pair[:, 0], pair[:, 1])
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 300 <= 0.99


def test_wilson_keeps_a_width_at_the_ends():
    found = stats.wilson(10, 10)
    assert (found.value, found.n) == (1, 10)
    assert found.low == pytest.approx(0.7225, abs=1e-3)
    with pytest.raises(HeadAtlasError):
        stats.wilson(0, 0)
    with pytest.raises(HeadAtlasError):
        stats.wilson(3, 2)


def test_concentration():
    assert stats.gini([1, 1, 1, 1]) == pytest.approx(0)
    assert stats.gini([0, 0, 0, 1]) == pytest.approx(0.75)
    assert stats.gini([-5, 0, 0, 1]) == pytest.approx(0.75)
    values = np.random.default_rng(10).random(30)
    pairs = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert stats.gini(values) == pytest.approx(pairs)
    assert stats.effective_number([1, 1, 1, 0]) == pytest.approx(3)
    assert stats.effective_number(np.eye(2)) == pytest.approx(2)
    assert (stats.gini([0, -1]), stats.effective_number([0, 0])) == (0, 0)
    with pytest.raises(HeadAtlasError):
        stats.gini([])
