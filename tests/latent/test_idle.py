import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.latent.idle import decodable_mask, equivalence_p
from headatlas.scoring import PerSample, Scores

SPATIAL = "spatial_perception"


@pytest.fixture
def effect():
    """L0.H0 costs 0.5 nats; L0.H1 wavers by 2 nats around 0; L1.H0 and L1.H1 do nothing; 100 questions."""
    losses = np.random.default_rng(0).normal(size=(100, 2, 2)).astype(np.float32) * np.array([[0.1, 2.0], [0.05, 0.05]])
    losses[:, 0, 0] += 0.5
    samples = PerSample(losses, np.zeros(100, int), np.arange(100))
    return Scores("ablation", samples.mean(), info={"measure": "logprob"}, per_sample=samples)


@pytest.fixture
def decodable():
    """Everything but L1.H1 is decodable; L1.H0 most."""
    values, p = np.zeros((8, 2, 2)), np.ones((8, 2, 2))
    values[0], p[0] = [[0.2, 0.2], [0.4, 0.0]], [[0.001, 0.001], [0.001, 0.6]]
    return Scores("linear", values, pvalues=p)


def test_decodable_after_correction_over_heads(decodable):
    assert decodable_mask(decodable, SPATIAL).tolist() == [[True, True], [True, False]]
    decodable.pvalues[0] = [[0.04, 0.04], [0.04, 0.6]]  # each below 0.05, none after Benjamini-Hochberg
    assert not decodable_mask(decodable, SPATIAL).any()


def test_not_significant_is_not_without_effect(effect):
    p = equivalence_p(effect, SPATIAL, 0.05)
    assert p[0, 0] > 0.99
    assert p[0, 1] > 0.05, "wavers too much to be called idle"
    assert (p[1] < 0.01).all()


def test_mistakes_are_one_line(decodable, effect):
    with pytest.raises(HeadAtlasError, match="cognitive function must be one of"):
        decodable_mask(decodable, "space")
    with pytest.raises(HeadAtlasError, match="delta"):
        equivalence_p(effect, SPATIAL, 0.0)
    with pytest.raises(HeadAtlasError, match="have no p-values"):
        decodable_mask(Scores("linear", np.zeros((8, 2, 2))), SPATIAL)
    with pytest.raises(HeadAtlasError, match="at least 2 questions with a step of math_reasoning are needed, got 0"):
        equivalence_p(effect, "math_reasoning", 0.05)
