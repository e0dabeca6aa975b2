"""A6 gives each head its additive share, and finds heads that stand in for each other by what they cost together."""

import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import ScoringInputs, get_scorer, scorers
from headatlas.scoring.multihead import pair_terms, random_subsets, redundant_group, ridge_fit


def test_it_is_a_scorer():
    assert "multihead" in scorers()


def test_subsets_have_their_shares_and_are_the_same_again():
    masks = random_subsets(40, 300, 3)
    assert masks.shape == (300, 40)
    np.testing.assert_array_equal(masks, random_subsets(40, 300, 3))
    np.testing.assert_allclose(sorted(masks[k::3].mean() for k in range(3)), [0.12, 0.25, 0.5], atol=0.02)


def test_additive_shares_come_back():
    masks = random_subsets(20, 400, 0).astype(float)
    wanted = np.linspace(0, 1, 20)
    shares, fitted = ridge_fit(masks, (masks @ wanted + 0.3)[:, None], 1e-6)
    np.testing.assert_allclose(shares[:, 0], wanted, atol=1e-5)
    np.testing.assert_allclose(fitted[:, 0], masks @ wanted + 0.3, atol=1e-5)


def test_a_redundant_group_is_found_by_its_joint_damage():
    masks = random_subsets(12, 600, 1)
    numbers = np.random.default_rng(2)
    group = [2, 5, 7]  # any one of them does the job
    damage = 2.0 * masks[:, group].all(1) + 0.3 * masks[:, 0] + numbers.normal(0, 0.05, 600)
    terms = pair_terms(masks, damage, 1.0)
    assert redundant_group(terms) == group
    np.testing.assert_allclose(terms, terms.T)


def test_additive_heads_are_no_group():
    masks = random_subsets(12, 600, 1)
    terms = pair_terms(masks, masks @ np.linspace(0, 1, 12), 1.0)
    assert np.abs(terms).max() < 0.01


@pytest.mark.parametrize("terms", [np.zeros((5, 5)), np.zeros((1, 1))])
def test_without_terms_there_is_no_group(terms):
    assert redundant_group(terms) == []


def test_a_model_and_enough_subsets_are_needed():
    class Activations:
        steps, tokens = None, ("gold",)

        def z(self, tokens, rows=None):
            raise AssertionError

    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("multihead")(ScoringInputs(Activations()))
    with pytest.raises(HeadAtlasError, match="subsets must be 24 or more, got 5"):
        get_scorer("multihead")(ScoringInputs(Activations(), vlm=object(), data=object()), subsets=5)
