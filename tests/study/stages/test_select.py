"""Counts of heads: of the sets that were selected, each with an interval around it."""

import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.results import RESULTS, validate
from headatlas.scoring import PerSample, Scores, fewest_table, select
from headatlas.scoring.fewest import bootstrap_masks, thresholds
from headatlas.study.stages.select import counts_table


def scores(clusters=300, extra=0):
    """Three heads a function above all others, which lie a little below the limit: few steps lift some of them over it.

    `extra` heads of the last function score as high but are not significant, as happens when p is studentised.
    """
    rng = np.random.default_rng(0)
    function = np.repeat(np.arange(8), [40, *[200] * 7])
    samples = rng.normal(size=(len(function), 30)) + 0.6
    pvalues = np.full((8, 30), 0.5)
    for c in range(8):
        heads = (c + np.arange(3)) % 30
        samples[np.ix_(function == c, heads)] += 0.4
        pvalues[c, heads] = 1e-4
    samples[np.ix_(function == 7, 20 + np.arange(extra))] += 2.0
    per_sample = PerSample(samples.reshape(-1, 5, 6), function, rng.integers(0, clusters, len(function)))
    return Scores("made", per_sample.mean(), pvalues=pvalues.reshape(8, 5, 6), per_sample=per_sample)


def counted(made, selector="null"):
    table = counts_table(made, fewest_table(made, selector, n_boot=50), seed=0, n_boot=200, selector=selector)
    return validate("counts", table).set_index(["what", "function"])


def test_what_is_counted_is_what_was_selected():
    made = scores(extra=5)
    assert (made.values > thresholds(made)[:, None, None]).sum() > 24, (
        "more heads lie above the limits than are selected"
    )
    table = counted(made)
    for function in FUNCTIONS:
        assert round(table.loc[("share", function), "value"] * 30) == len(select(made, function)) == 3
    assert table.loc[("spread", ""), "value"] == 0
    by_rank = counted(made, "top_k")
    assert (by_rank.loc["share", "value"] * 30).round().eq(5).all()


def test_intervals_lie_around_what_was_counted():
    made = scores()
    table = counted(made)
    share = table.loc[("share", FUNCTIONS[0])]
    # Why percentiles would not do: nearly all of the resampled counts lie above it.
    draws, _ = bootstrap_masks(made.per_sample, thresholds(made), 200, 0)
    assert np.quantile(draws.mean((1, 2, 3)), 0.025) > table.loc["share", "value"].mean()
    inside = table.loc[["share", "spread", "overlap"]]
    assert ((inside["low"] <= inside["value"]) & (inside["value"] <= inside["high"])).all()
    assert 0 <= share["low"] < share["high"] <= 1


def test_overlap_of_different_heads_is_below_one_half():
    overlap = counted(scores()).loc[("overlap", "")]
    assert overlap["high"] < 0.5
    assert overlap["p"] < 0.05


def test_one_question_gives_no_interval():
    table = counted(scores(clusters=1))
    assert table[["low", "high", "p"]].isna().all(axis=None)


def test_nothing_selected_nothing_counted():
    made = scores()
    made.pvalues[:] = 1.0
    assert not len(counts_table(made, fewest_table(made, n_boot=20), seed=0, n_boot=20))


@pytest.mark.parametrize("selector", ["null", "elbow"])
def test_scores_without_p_values_are_counted_too(selector):
    made = scores()
    bare = Scores("made", made.values, per_sample=made.per_sample)
    table = counts_table(bare, fewest_table(bare, selector, n_boot=20), seed=0, n_boot=20, selector=selector)
    assert (len(table) > 0) == (selector == "elbow")


def test_without_per_step_scores_there_is_a_count_and_no_interval():
    made = scores()
    bare = Scores("made", made.values, pvalues=made.pvalues)
    table = validate("counts", counts_table(bare, RESULTS["fewest"].empty(), seed=0))
    assert (table[table["what"] == "share"]["value"] * 30).round().tolist() == [3] * 8
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["n"] == 0).all()
