"""Counts of heads: of the sets that were selected, and how far functions differ compared with halves of one function."""

import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.results import RESULTS, validate
from headatlas.scoring import PerSample, Scores, counts_table, fewest_table, select
from headatlas.scoring.counts import number_apart, place_apart


def scores(shift=3, sizes=(3,) * 8, scenes=200, noise=1.0, seed=0):
    """Function c has `sizes[c]` heads, starting at head `shift * c`; with shift 0 all functions have the same heads."""
    rng = np.random.default_rng(seed)
    function = np.repeat(np.arange(8), 200)
    samples = rng.normal(size=(1600, 30)) * noise
    pvalues = np.full((8, 30), 0.5)
    for c in range(8):
        heads = (shift * c + np.arange(sizes[c])) % 30
        samples[np.ix_(function == c, heads)] += 1.0
        pvalues[c, heads] = 1e-4
    per_sample = PerSample(samples.reshape(-1, 5, 6), function, rng.integers(0, scenes, len(function)))
    return Scores("made", per_sample.mean(), pvalues=pvalues.reshape(8, 5, 6), per_sample=per_sample)


def counted(made, selector="functional"):
    table = counts_table(made, fewest_table(made, n_boot=200), 0, 200, selector)
    return validate("counts", table).set_index(["what", "function"])


def test_what_is_counted_is_what_was_selected():
    made = scores()
    table = counted(made)
    for function in FUNCTIONS:
        assert round(table.loc[("share", function), "value"] * 30) == len(select(made, function, "functional")) == 3
    by_rank = counted(made, "top_k")
    assert (by_rank.loc["share", "value"] * 30).round().eq(5).all()


def test_functions_with_other_heads_differ_in_place_and_those_with_the_same_heads_do_not():
    apart = counted(scores()).loc[("place", "")]
    assert apart["low"] > 0.3
    same = counted(scores(shift=0)).loc[("place", "")]
    assert same["low"] < 0 < same["high"]
    # With few, noisy steps halves of one function differ as much as functions do.
    noisy = counted(scores(shift=0, noise=6.0)).reindex([("place", "")]).iloc[0]
    assert not noisy["low"] > 0


def test_numbers_of_heads_differ_only_beyond_the_difference_between_resamples():
    equal = counted(scores()).loc[("number", "")]
    assert equal["low"] <= 0 <= equal["high"]
    # Most heads of some functions are missed by chance, so that the numbers found differ although the true ones do not.
    noisy = counted(scores(noise=3.0)).loc[("number", "")]
    assert noisy["low"] < 0 < noisy["high"]
    unequal = counted(scores(sizes=(1, 1, 3, 3, 3, 6, 6, 6))).loc[("number", "")]
    assert unequal["low"] > 1


def test_spatial_functions_with_fewer_heads_are_seen_and_equal_ones_are_not():
    fewer = counted(scores(sizes=(1, 1, 4, 4, 4, 4, 4, 4))).loc[("spatial_minus_other", "")]
    assert fewer["high"] < -1
    equal = counted(scores()).loc[("spatial_minus_other", "")]
    assert equal["low"] <= 0 <= equal["high"]


def test_nothing_selected_nothing_counted():
    made = scores()
    made.pvalues[:] = 1.0
    assert not len(counts_table(made, fewest_table(made, n_boot=20), 0, 20))


@pytest.mark.parametrize("selector", ["functional", "elbow"])
def test_scores_without_p_values_are_counted_by_selectors_that_need_none(selector):
    made = scores()
    bare = Scores("made", made.values, per_sample=made.per_sample)
    table = counts_table(bare, fewest_table(bare, n_boot=20), 0, 20, selector)
    assert (len(table) > 0) == (selector == "elbow")


def test_without_per_step_scores_there_is_a_count_and_no_interval():
    made = scores()
    bare = Scores("made", made.values, pvalues=made.pvalues)
    table = validate("counts", counts_table(bare, RESULTS["fewest"].empty(), 0))
    assert (table[table["what"] == "share"]["value"] * 30).round().tolist() == [3] * 8
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["n"] == 0).all()


def test_a_place_is_compared_with_the_other_half():
    """Halves of one function share one head of three."""
    one, two = np.zeros((2, 1, 3, 1, 12), bool)
    for c in range(3):
        one[0, c, 0, 4 * c : 4 * c + 1] = two[0, c, 0, 4 * c : 4 * c + 3] = True
    assert place_apart(one, two, np.ones(3, bool)) == pytest.approx([1 / 3])
    assert place_apart(one[:, :2], two[:, :2], np.ones(2, bool)) is None


def test_a_function_without_heads_is_no_function_with_fewer_heads():
    """Finding none is lack of evidence; without it all numbers are equal."""
    none = counted(scores(sizes=(0, 3, 3, 3, 3, 3, 3, 3))).loc[("number", "")]
    assert (none["low"], none["high"]) == pytest.approx((0, 0), abs=0.3)
    made = scores(sizes=(0, 0, 0, 0, 0, 0, 3, 3))
    assert number_apart(made.per_sample, np.full(8, 0.2), 0) is None


def test_the_interval_of_the_number_covers_the_difference_of_other_samples():
    """Truth: the mean over many samples. Borderline heads, so that the numbers found vary."""
    found = [
        number_apart(scores(sizes=(1, 1, 3, 3, 3, 5, 5, 5), noise=2.5, seed=s).per_sample, np.zeros(8), s)
        for s in range(30)
    ]
    values, halves = np.array(found).T
    covered = np.abs(values - values.mean()) <= halves
    assert covered.mean() >= 0.85
    assert halves.mean() < 1.5
