"""A6 gives each head its share of the damage, and finds heads that stand in for each other by what they cost together."""

import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import ScoringInputs, get_scorer, scorers
from headatlas.scoring.multihead import joined, pair_terms, weighted_ridge


def halves(n, count, seed=0):
    return np.random.default_rng(seed).random((count, n)) < 0.5


def test_it_is_a_scorer():
    assert "multihead" in scorers()


@pytest.mark.parametrize("count", [400, 12])
def test_weighted_ridge_is_the_closed_form(count):
    """Also with fewer subsets than heads, where it is solved the other way round."""
    masks, numbers = halves(20, count), np.random.default_rng(1)
    y, weights = numbers.normal(size=(count, 3)), numbers.random((count, 3))
    weights[:, 2] = 0
    made = weighted_ridge(masks, y, weights, 0.7)
    for s in range(2):
        w = weights[:, s]
        centred = masks - (w @ masks) / w.sum()
        left = centred.T @ (w[:, None] * centred) + 0.7 * np.eye(20)
        wanted = np.linalg.solve(left, centred.T @ (w * (y[:, s] - (w @ y[:, s]) / w.sum())))
        np.testing.assert_allclose(made[:, s], wanted, atol=1e-9)
    assert (made[:, 2] == 0).all()


def test_additive_shares_come_back_from_readings_that_count():
    masks, wanted = halves(20, 400), np.linspace(0, 1, 20)
    y = (masks @ wanted)[:, None]
    broken = np.random.default_rng(2).random(400) < 0.3
    y[broken] = 8.0
    weights = np.where(broken, 0.0, 1.0)[:, None]
    np.testing.assert_allclose(weighted_ridge(masks, y, weights, 1e-6)[:, 0], wanted, atol=1e-5)


def test_a_redundant_group_is_found_by_what_it_costs_together():
    masks = halves(30, 200)
    numbers = np.random.default_rng(2)
    group = [2, 5, 7, 11]
    lost = np.maximum(masks[:, group].sum(1) - 2, 0) * 1.5  # two of them do the job
    damage = lost + 0.3 * masks[:, 0] + numbers.normal(0, 0.1, 200)
    top = np.arange(24)
    terms = pair_terms(masks, top, damage, np.ones(200), 1.0)
    np.testing.assert_allclose(terms, terms.T)
    assert joined(terms)[0] == group


def test_additive_heads_are_no_group():
    masks = halves(12, 600)
    damage = masks @ np.linspace(0, 1, 12)
    assert np.abs(pair_terms(masks, np.arange(12), damage, np.ones(600), 1.0)).max() < 0.01


@pytest.mark.parametrize("terms", [np.zeros((5, 5)), np.zeros((1, 1))])
def test_without_terms_there_is_no_group(terms):
    assert joined(terms) == []


def test_a_model_and_enough_subsets_are_needed():
    class Activations:
        steps, tokens = None, ("gold",)

        def z(self, tokens, rows=None):
            raise AssertionError

    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("multihead")(ScoringInputs(Activations()))
    with pytest.raises(HeadAtlasError, match="screens and halves must be 24 or more"):
        get_scorer("multihead")(ScoringInputs(Activations(), vlm=object(), data=object()), halves=5)


def test_on_a_real_model(tiny_vlm, tiny_questions):
    class Data(list):
        def split(self, name):
            return Data(q for q in self if q.split == name)

    class Activations:
        steps, tokens = None, ("gold",)

        def z(self, tokens, rows=None):
            raise AssertionError

    data = Data(tiny_questions)
    inputs = ScoringInputs(Activations(), vlm=tiny_vlm, data=data, n_null=50)
    made = get_scorer("multihead")(inputs, operation="zero", screens=24, halves=24)
    assert made.shape == (2, 4)
    assert made.info["questions"] == len(data.split("S"))
    assert 0 <= made.info["mass"] <= 1
    for name in made.info["backbone"]:
        layer, head = int(name[1]), int(name[-1])
        assert (made.pvalues[:, layer, head] == 1).all()
        assert (made.values[:, layer, head] == 0).all()
    for name, groups in made.info["groups"].items():
        assert len(groups) == len(made.info["damage"][name])
        assert not {head for group in groups for head in group} & set(made.info["backbone"])
        for damage in made.info["damage"][name]:
            assert damage["joint"] > sum(damage["single"])
    again = get_scorer("multihead")(inputs, operation="zero", screens=24, halves=24)
    np.testing.assert_array_equal(again.values, made.values)
