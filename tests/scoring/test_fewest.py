import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring import PerSample
from headatlas.scoring.fewest import fewest_table
from headatlas.scoring.resample import bootstrap_masks, counts_of


def made(scores_of, n_heads, sizes, seed=0):
    """Scores of 8 functions on 5 x 6 heads: the first `n_heads[c]` heads give 1 per step, all with noise of spread 1."""
    rng = np.random.default_rng(seed)
    function = np.repeat(np.arange(8), sizes)
    samples = rng.normal(size=(len(function), 30))
    for c in range(8):
        samples[np.ix_(function == c, np.arange(n_heads[c]))] += 1.0
    cluster = rng.integers(0, 100, len(function))
    per_sample = PerSample(samples.reshape(-1, 5, 6), function, cluster)
    return scores_of(per_sample.mean(), per_sample=per_sample)


def test_spatial_heads_fewest_is_seen(scores_of):
    scores = made(scores_of, [1, 1, 6, 6, 6, 6, 6, 6], [100] * 8)
    table = fewest_table(scores, limit=np.full(8, 0.5), n_boot=200)
    assert len(table) == 3 * 7
    whole = table[(table["spatial"] == "both") & (table["other"] == "")].iloc[0]
    assert -6 < whole["low"] < whole["high"] < -4
    assert whole["p"] < 0.01


def test_more_steps_alone_do_not_make_a_function_richer(scores_of):
    """With 20 times the steps the others' scores are steadier; at equal true numbers the difference is about none."""
    scores = made(scores_of, [4] * 8, [30, 30] + [600] * 6)
    table = fewest_table(scores, limit=np.full(8, 0.3), n_boot=200)
    row = table[(table["spatial"] == "both") & (table["other"] == "")].iloc[0]
    assert row["low"] < 0 < row["high"]
    assert row["n"] <= 40
    # Without equal sizes the noise of 30 steps alone gives the spatial functions more heads.
    raw = (scores.values > 0.3).sum((1, 2))
    assert (raw[2:] == 4).all()


def test_counts_are_nan_for_functions_without_steps(scores_of):
    scores = made(scores_of, [2] * 8, [40] * 7 + [0])
    drawn = bootstrap_masks(scores.per_sample, np.full(8, 0.5), n_boot=20)
    counts = counts_of(drawn)
    assert np.isnan(counts[:, 7]).all()
    assert np.isfinite(counts[:, :7]).all()
    assert drawn.steps == 40
    assert np.array_equal(counts, counts_of(bootstrap_masks(scores.per_sample, np.full(8, 0.5), 20)), equal_nan=True)


def test_the_bound_within_a_resample_is_that_of_its_scenes():
    """Recomputed by hand for one resample: mean less 1.645 errors of a ratio of sums over the drawn scenes."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1, size=(60, 1, 1))
    samples = PerSample(values, np.zeros(60, int), rng.integers(0, 20, 60))
    weights = np.random.default_rng(5).multinomial(20, np.full(20, 1 / 20), size=1)[0]
    parts = [values[samples.cluster == k, 0, 0] for k in np.unique(samples.cluster) for _ in range(weights[k])]
    flat = np.concatenate(parts)
    sums = np.array([part.sum() - flat.mean() * len(part) for part in parts])
    bound = flat.mean() - 1.6448536 * np.sqrt(20 / 19 * (sums**2).sum()) / len(flat)
    for limit, above in ((bound - 1e-6, True), (bound + 1e-6, False)):
        assert bootstrap_masks(samples, np.full(1, limit), 1, seed=5).masks[0, 0, 0, 0] == above


def test_it_runs_on_real_scorers_and_needs_per_step_scores(linear_scores, paper_scores, scores_of):
    for scores in (linear_scores, paper_scores):
        table = fewest_table(scores, n_boot=50)
        assert table["difference"].between(table["low"], table["high"]).all()
    with pytest.raises(HeadAtlasError, match="no per-step scores"):
        fewest_table(scores_of(np.zeros((8, 1, 2))))


def test_a_function_seen_in_one_scene_only_is_left_out(scores_of):
    samples = np.ones((40, 1, 1))
    function = np.repeat(np.arange(8), 5)
    cluster = np.where(function == 0, 0, np.arange(40))  # all steps of the first function are about one scene
    drawn = bootstrap_masks(PerSample(samples, function, cluster), np.full(8, 0.5), 200)
    assert drawn.present.tolist() == [False] + [True] * 7
    assert (counts_of(drawn)[:, 1:] == 1).all()


def test_without_any_head_there_is_nothing_to_count(scores_of):
    scores = made(scores_of, [0] * 8, [50] * 8)
    assert not len(fewest_table(scores, limit=np.full(8, 5.0), n_boot=20))


def test_a_single_scene_is_refused(scores_of):
    scores = made(scores_of, [1] * 8, [20] * 8)
    alone = PerSample(scores.per_sample.values, scores.per_sample.function, np.zeros(160, int))
    with pytest.raises(HeadAtlasError, match="two scenes"):
        fewest_table(scores_of(scores.values, per_sample=alone), limit=np.full(8, 0.5), n_boot=20)
