"""The selector `functional`: chance, a least effect, and the untrained twin."""

import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scoring import PerSample, Scores, select
from headatlas.scoring.functional import TWIN, least_effect, lower_bounds


def made(means, n=400, seed=0, name="ablation", **more):
    """One row per step of the first function; heads with these true means, noise of spread 1, one scene per step."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 1, len(means))) + np.array(means)
    samples = PerSample(values, np.zeros(n, int), np.arange(n))
    p = np.ones((8, 1, len(means)))
    p[0] = 1e-6
    return Scores(name, samples.mean(), pvalues=p, per_sample=samples, **more)


def test_a_significant_effect_below_the_least_is_not_functional():
    scores = made([0.5, 0.02, 0.0])
    assert least_effect(scores) == 0.05
    assert set(select(scores, "spatial_perception", "functional")) == {Head(0, 0)}
    small = made([0.02, 0.0])
    chosen = select(small, "spatial_perception", "functional")
    assert not chosen
    assert "none of them surely by more than 0.05 nats" in chosen.reason


def test_the_number_of_heads_does_not_grow_with_the_sample():
    """Forty heads of 0.03 nats each are significant with enough steps; none is ever functional."""
    means = [0.03] * 40 + [0.4] * 3
    few, many = (select(made(means, n), "spatial_perception", "functional") for n in (400, 40_000))
    assert {head.head for head in many} == {40, 41, 42}
    assert len({head.head for head in few} ^ {40, 41, 42}) <= 2  # each bound is wrong in at most 5 % of samples


def test_heads_must_score_above_every_head_of_the_twin():
    twin = np.zeros((8, 1, 3))
    twin[0, 0] = [0.0, 0.6, 0.1]
    scores = made([1.0, 0.5, 0.4], arrays={TWIN: twin})
    assert set(select(scores, "spatial_perception", "functional")) == {Head(0, 0)}
    twin[0, 0, 2] = 9.0
    none = select(made([1.0, 0.5, 0.4], arrays={TWIN: twin}), "spatial_perception", "functional")
    assert not none
    assert "above the untrained twin's 9" in none.reason


def test_bounds_have_the_coverage_they_claim_with_scenes_of_several_steps():
    rng = np.random.default_rng(1)
    missed = []
    for _ in range(400):
        scene = np.repeat(np.arange(40), 5)
        values = (rng.normal(size=40)[scene] + rng.normal(size=200)).reshape(200, 1, 1)
        missed.append(lower_bounds(PerSample(values, np.zeros(200, int), scene), 1)[0, 0, 0] > 0)
    assert abs(np.mean(missed) - 0.05) < 0.03
    assert lower_bounds(PerSample(np.ones((5, 1, 1)), np.zeros(5, int), np.zeros(5, int)), 1)[0, 0, 0] == -np.inf


def test_mistakes_are_one_line():
    scores = made([1.0])
    with pytest.raises(HeadAtlasError, match="least must be >= 0, got -1"):
        select(scores, "spatial_perception", "functional", least=-1.0)
    bare = Scores("ablation", scores.values, pvalues=scores.pvalues)
    with pytest.raises(HeadAtlasError, match="least needs per-step scores"):
        select(bare, "spatial_perception", "functional", least=0.1)
    assert "needs p-values" in select(Scores("ablation", scores.values), "spatial_perception", "functional").reason
