import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, mean, zero
from headatlas.intervention import Condition, Runner
from headatlas.scoring.ablation import (
    SingleHeadDamage,
    ablation,
    scores_of,
    sign_flip_p,
    sign_flips,
    single_head_damage,
)
from headatlas.scoring.base import ScoringInputs, get_scorer
from headatlas.vlm import evaluate

SPATIAL, COLOUR = FUNCTIONS.index("spatial_perception"), FUNCTIONS.index("low_level_perception")


class Data:
    """The hand-made questions as a dataset."""

    fingerprint = "tiny"

    def __init__(self, questions):
        self.questions = questions

    def split(self, name):
        return [q for q in self.questions if q.split == name]


class Store:
    """Activations with known z."""

    tokens = ("gold",)

    def __init__(self, table, shape, d_head):
        self.steps = table
        rng = np.random.default_rng(0)
        self.data = rng.normal(size=(len(table), *shape, d_head)).astype(np.float32)

    def z(self, tokens, rows=None):
        return self.data if rows is None else self.data[rows]


@pytest.fixture(scope="module")
def data(tiny_questions):
    return Data(tiny_questions)


@pytest.fixture(scope="module")
def runner(tiny_vlm, data):
    """Shared, so that the same ablation is evaluated once in this module."""
    return Runner(tiny_vlm, data)


@pytest.fixture(scope="module")
def store(tiny_vlm, data):
    table = pd.concat([evaluate(tiny_vlm, data.split(split)) for split in "PS"], ignore_index=True)
    return Store(table, tiny_vlm.heads.shape, tiny_vlm.heads.d_head)


def hand_made(n_questions=60, noise=0.02, seed=0):
    """Head (1, 2) costs spatial steps 0.5 nats, head (0, 1) costs 0.5 in one question of twenty; the rest is noise."""
    rng = np.random.default_rng(seed)
    steps = pd.DataFrame(
        [
            {"question": f"q{q}", "step": step, "function": name, "functions": name}
            for q in range(n_questions)
            for step, name in enumerate(["spatial_perception", "low_level_perception"])
        ]
    )
    losses = noise * rng.normal(size=(len(steps), 2, 4)).astype(np.float32)
    spatial = (steps["function"] == "spatial_perception").to_numpy()
    losses[spatial, 1, 2] += 0.5
    losses[np.flatnonzero(spatial)[::20], 0, 1] += 0.5
    return SingleHeadDamage(steps, losses.astype(np.float32), np.sign(np.round(losses)).astype(np.float32))


def test_damage_is_the_difference_of_two_evaluations(tiny_vlm, data, runner):
    damage = single_head_damage(runner, tiny_vlm.heads.shape, "zero")
    before = evaluate(tiny_vlm, data.split("S"))
    head = Head(1, 2)
    with tiny_vlm.edit(zero(HeadSet([head]))):
        after = evaluate(tiny_vlm, data.split("S"))
    lost = (before["logprob"] - after["logprob"]).to_numpy()
    np.testing.assert_allclose(damage.logprob[:, 1, 2], lost, atol=1e-5)
    assert np.abs(lost).max() > 1e-3, "the head matters to the tiny model, else this test could not fail"
    np.testing.assert_array_equal(damage.correct[:, 1, 2], before["correct"].astype(int) - after["correct"].astype(int))


def test_scorer_uses_means_of_p_and_keeps_every_step(tiny_vlm, data, store, runner, tmp_path):
    told = []
    inputs = ScoringInputs(store, vlm=tiny_vlm, data=data, n_null=20, progress=lambda *call: told.append(call))
    scores = get_scorer("ablation")(inputs, cache_dir=tmp_path)
    means = store.data[(store.steps["split"] == "P").to_numpy()].mean(0)
    before = runner.baseline("S")
    after = runner.run(Condition("x", (mean(HeadSet([Head(0, 3)]), means),)), "S")
    rows = before["functions"].str.contains("spatial_perception")
    assert scores.values[SPATIAL, 0, 3] == pytest.approx((before["logprob"] - after["logprob"])[rows].mean(), abs=1e-4)
    assert scores.per_sample is not None
    np.testing.assert_allclose(scores.per_sample.mean(), scores.values, atol=1e-6)
    low, high = scores.arrays["low"], scores.arrays["high"]
    one_question = np.isnan(low)
    assert ((low <= scores.values + 1e-6) | one_question).all()
    assert ((scores.values <= high + 1e-6) | one_question).all()
    assert scores.null is not None
    assert scores.null.shape == (20, 8, *tiny_vlm.heads.shape)
    assert scores.info["mean_tokens"] == "gold"
    assert scores.info["absent"] == []
    assert told[-1] == (f"ablating: {Head(1, 3)}", 8, 8)


def test_a_killed_scan_goes_on_where_it_was(tiny_vlm, data, store, runner, tmp_path):
    shared = runner

    class Killed(Exception):
        pass

    def kill(what, done, total):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        ablation(ScoringInputs(store, vlm=tiny_vlm, data=data, progress=kill), cache_dir=tmp_path, operation="zero")
    runner = Runner(tiny_vlm, data, tmp_path)
    inputs = ScoringInputs(store, vlm=tiny_vlm, data=data, n_null=3)
    scores = ablation(inputs, runner=runner, operation="zero")
    assert runner.evaluated == 3
    whole = ablation(inputs, runner=shared, operation="zero")
    np.testing.assert_allclose(scores.values, whole.values)


def test_the_planted_head_is_found_and_the_others_are_not():
    scores = scores_of(hand_made())
    assert scores.pvalues is not None
    assert scores.values[SPATIAL, 1, 2] == pytest.approx(0.5, abs=0.02)
    assert scores.pvalues[SPATIAL, 1, 2] < 1e-3
    others = scores.pvalues[[SPATIAL, COLOUR]].copy()
    others[0, 1, 2] = 1
    assert others.min() > 0.01
    low, high = scores.arrays["low"][SPATIAL, 1, 2], scores.arrays["high"][SPATIAL, 1, 2]
    assert 0.48 < low < 0.5 < high < 0.52


@pytest.mark.parametrize("pool", ["heads", "max", "none"])
def test_p_is_uniform_or_safer_under_the_null(pool):
    """Symmetric losses, correlated between heads by question, of very different spread: few p below 0.05."""
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(150):
        sums = rng.normal(size=(30, 2, 4)) * np.array([0.01, 1, 10, 100]) + rng.normal(size=(30, 1, 1))
        sizes = np.full(30, 2)
        null = sign_flips(sums, sizes, 60, rng)
        hits.append((sign_flip_p(sums, sizes, null, pool) <= 0.05).ravel())
    rate = np.mean(hits)
    assert rate < (0.02 if pool == "max" else 0.075)
    if pool != "max":
        assert rate > 0.03
    else:
        assert np.any(hits, axis=1).mean() < 0.1


def test_margin_asks_for_more_than_a_little():
    damage = hand_made(noise=0.001)
    damage.logprob[:, 0, 0] += 0.005
    strict, plain = scores_of(damage), scores_of(damage, margin=0.0)
    assert strict.pvalues is not None
    assert plain.pvalues is not None
    assert plain.pvalues[SPATIAL, 0, 0] < 1e-3
    assert strict.pvalues[SPATIAL, 0, 0] > 0.5
    assert strict.pvalues[SPATIAL, 1, 2] < 1e-3


def test_intervals_count_questions():
    """Two steps of a question that lose alike are one observation."""
    damage = hand_made(noise=1.0)
    twice = SingleHeadDamage(
        pd.concat([damage.steps, damage.steps], ignore_index=True),
        np.concatenate([damage.logprob] * 2),
        np.concatenate([damage.correct] * 2),
    )
    rows = (damage.steps["function"] == "spatial_perception").to_numpy()
    once, again = damage.intervals(rows), twice.intervals(np.concatenate([rows, rows]))
    np.testing.assert_allclose(once, again, rtol=1e-6)


def test_accuracy_measure_and_absent_functions():
    scores = scores_of(hand_made(), measure="accuracy", n_null=10)
    assert scores.info["unit"] == "share of steps"
    assert scores.pvalues is not None
    absent = FUNCTIONS.index("math_reasoning")
    assert (scores.pvalues[absent] == 1).all()
    assert (scores.values[absent] == 0).all()
    assert scores_of(hand_made(), n_null=0).pvalues is None


def test_damage_is_kept(tmp_path):
    damage = hand_made()
    damage.save(tmp_path / "damage.npz")
    back = SingleHeadDamage.load(tmp_path / "damage.npz")
    np.testing.assert_array_equal(back.logprob, damage.logprob)
    np.testing.assert_array_equal(back.correct, damage.correct)
    assert back.steps.equals(damage.steps)


def test_mistakes_are_one_line(store, tiny_vlm, data):
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        ablation(ScoringInputs(store))
    with pytest.raises(HeadAtlasError, match=r"operation must be one of .*got 'cut'"):
        ablation(ScoringInputs(store, vlm=tiny_vlm, data=data), operation="cut")
