import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.latent import latent_heads
from headatlas.latent.heads import equivalence_p
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


def test_latent_is_decodable_and_shown_to_do_nothing(decodable, effect):
    found = latent_heads(decodable, effect, SPATIAL)
    assert list(found) == [Head(1, 0)]
    assert found.reason == (
        "1 latent: 3 heads decodable (linear, BH q = 0.05), 2 without effect (|logprob| < 0.05, TOST)"
    )


def test_not_significant_is_not_without_effect(effect):
    p = equivalence_p(effect, SPATIAL, 0.05)
    assert p[0, 0] > 0.99
    assert p[0, 1] > 0.05, "wavers too much to be called idle"
    assert (p[1] < 0.01).all()


def test_most_decodable_comes_first(decodable, effect):
    decodable.pvalues[0, 1, 1] = 0.001
    decodable.values[0, 1, 1] = 0.9
    assert list(latent_heads(decodable, effect, SPATIAL)) == [Head(1, 1), Head(1, 0)]


def test_none_says_why(decodable, effect):
    decodable.pvalues[:] = 1
    found = latent_heads(decodable, effect, SPATIAL)
    assert len(found) == 0
    assert found.reason.startswith("0 latent: 0 heads decodable")


def test_mistakes_are_one_line(decodable, effect):
    with pytest.raises(HeadAtlasError, match="cognitive function must be one of"):
        latent_heads(decodable, effect, "space")
    with pytest.raises(HeadAtlasError, match="delta"):
        latent_heads(decodable, effect, SPATIAL, delta=0.0)
    with pytest.raises(HeadAtlasError, match="have no p-values"):
        latent_heads(Scores("linear", np.zeros((8, 2, 2))), effect, SPATIAL)
    with pytest.raises(HeadAtlasError, match=r"same heads, got grids \(3, 2\) and \(2, 2\)"):
        latent_heads(Scores("x", np.zeros((8, 3, 2)), pvalues=np.ones((8, 3, 2))), effect, SPATIAL)
    with pytest.raises(HeadAtlasError, match="at least 2 questions with a step of math_reasoning are needed, got 0"):
        latent_heads(decodable, effect, "math_reasoning")
