import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.latent import latent_heads
from headatlas.latent.latent import equivalence_p
from headatlas.scoring.ablation import SingleHeadDamage
from headatlas.scoring.base import Scores

SPATIAL = "spatial_perception"


@pytest.fixture
def damage():
    """L0.H0 costs 0.5 nats; L0.H1 wavers by 2 nats around 0; L1.H0 and L1.H1 do nothing; 100 questions."""
    steps = pd.DataFrame({"question": [f"q{i}" for i in range(100)], "step": 0, "functions": SPATIAL})
    losses = np.random.default_rng(0).normal(size=(100, 2, 2)).astype(np.float32) * np.array([[0.1, 2.0], [0.05, 0.05]])
    losses[:, 0, 0] += 0.5
    return SingleHeadDamage(steps, losses.astype(np.float32), np.zeros((100, 2, 2), np.float32))


@pytest.fixture
def decodable():
    """Everything but L1.H1 is decodable; L1.H0 most."""
    values, p = np.zeros((8, 2, 2)), np.ones((8, 2, 2))
    values[0], p[0] = [[0.2, 0.2], [0.4, 0.0]], [[0.001, 0.001], [0.001, 0.6]]
    return Scores("linear", values, pvalues=p)


def test_latent_is_decodable_and_shown_to_do_nothing(decodable, damage):
    found = latent_heads(decodable, damage, SPATIAL)
    assert list(found) == [Head(1, 0)]
    assert found.reason == (
        "1 latent: 3 heads decodable (linear, BH q = 0.05), 2 without effect (|logprob| < 0.05, TOST)"
    )


def test_not_significant_is_not_without_effect(damage):
    p = equivalence_p(damage, SPATIAL, 0.05)
    assert p[0, 0] > 0.99
    assert p[0, 1] > 0.05, "wavers too much to be called idle"
    assert (p[1] < 0.01).all()


def test_most_decodable_comes_first(decodable, damage):
    decodable.pvalues[0, 1, 1] = 0.001
    decodable.values[0, 1, 1] = 0.9
    assert list(latent_heads(decodable, damage, SPATIAL)) == [Head(1, 1), Head(1, 0)]


def test_none_says_why(decodable, damage):
    decodable.pvalues[:] = 1
    found = latent_heads(decodable, damage, SPATIAL)
    assert len(found) == 0
    assert found.reason.startswith("0 latent: 0 heads decodable")


def test_mistakes_are_one_line(decodable, damage):
    with pytest.raises(HeadAtlasError, match="unknown cognitive function"):
        latent_heads(decodable, damage, "space")
    with pytest.raises(HeadAtlasError, match="delta > 0"):
        latent_heads(decodable, damage, SPATIAL, delta=0.0)
    with pytest.raises(HeadAtlasError, match="have no p-values"):
        latent_heads(Scores("linear", np.zeros((8, 2, 2))), damage, SPATIAL)
    with pytest.raises(HeadAtlasError, match=r"damage of \(3, 2\) heads"):
        latent_heads(Scores("x", np.zeros((8, 3, 2)), pvalues=np.ones((8, 3, 2))), damage, SPATIAL)
    with pytest.raises(HeadAtlasError, match="at least 2 questions with a step of math_reasoning"):
        latent_heads(decodable, damage, "math_reasoning")
    assert FUNCTIONS[0] == SPATIAL
