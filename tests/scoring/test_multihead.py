"""A6 gives each head its share of the damage that the loss of many heads does."""

import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import ScoringInputs, get_scorer, scorers


def test_it_is_a_scorer():
    assert "multihead" in scorers()


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
        for group, damage in zip(groups, made.info["damage"][name], strict=True):
            assert damage["joint"] > sum(damage["single"])
            assert set(group) <= set(made.info["stand_ins"][name])
            assert len(damage["share"]) == len(damage["single"]) == len(group)
    again = get_scorer("multihead")(inputs, operation="zero", screens=24, halves=24)
    np.testing.assert_array_equal(again.values, made.values)
