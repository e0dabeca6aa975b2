import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from headatlas.intervention import change, effect, final, interval, of_function, spatial


def table(correct, per_question=2, unparsable=None):
    n = len(correct)
    return pd.DataFrame(
        {
            "question": [f"q{i // per_question}" for i in range(n)],
            "step": np.arange(n) % per_question,
            "n_steps": per_question,
            "function": np.where(np.arange(n) % 2 == 0, "spatial_perception", "math_reasoning"),
            "correct": np.array(correct, bool),
            "unparsable": np.zeros(n, bool) if unparsable is None else unparsable,
        }
    )


def test_effect_by_hand():
    rng = np.random.default_rng(0)
    was, now = rng.random(200) < 0.9, rng.random(200) < 0.5
    before, after = table(was), table(now, unparsable=~now)
    rows = of_function(before, "spatial_perception")
    found = effect(before, after, rows)
    was, now = was[::2], now[::2]
    assert (found.before, found.after, found.n) == (was.mean(), now.mean(), 100)
    assert found.change == pytest.approx(now.mean() - was.mean())
    assert found.unparsable_after == pytest.approx(1 - now.mean())
    lost, won = int((was & ~now).sum()), int((~was & now).sum())
    assert found.p_mcnemar == pytest.approx(binomtest(lost, lost + won).pvalue)
    assert found.low < found.change < found.high < 0
    assert found.change == pytest.approx(change(before, after, rows))


def test_interval_counts_questions_not_steps():
    """Steps of a question that always agree carry one observation, so the interval is wider than over free steps."""
    values = np.repeat(np.arange(40) % 2, 10).astype(float)
    low, high = interval(values, pd.Series(np.repeat(np.arange(40), 10)))
    free_low, free_high = interval(values, pd.Series(np.arange(400)))
    expected = 2 * 1.96 * 0.5 / np.sqrt(40)
    assert high - low == pytest.approx(expected, rel=0.1)
    assert free_high - free_low == pytest.approx(expected / np.sqrt(10), rel=0.1)


def test_no_steps_is_nan_not_an_error():
    found = effect(table([True]), table([True]), np.array([False]))
    assert found.n == 0
    assert np.isnan(found.change)
    assert np.isnan(found.p_mcnemar)
    assert np.isnan(change(table([True]), table([True]), np.array([False])))


def test_other_steps_are_refused():
    with pytest.raises(ValueError, match="same steps"):
        effect(table([True] * 4), table([True] * 2), np.ones(4, bool))
    with pytest.raises(ValueError, match="same steps"):
        change(table([True] * 4), table([True] * 4, per_question=4), np.ones(4, bool))


def test_groups():
    one = table([True] * 4)
    assert spatial(one).tolist() == [True, False, True, False]
    assert final(one).tolist() == [False, True, False, True]
