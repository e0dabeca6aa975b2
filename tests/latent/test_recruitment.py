"""Heads scored before and after: on a tiny model, with a recipe that changes what they write."""

import numpy as np
import pytest

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.latent.recruitment import FROZEN, frozen_probe, recruitment
from headatlas.results import validate
from headatlas.scoring import ScoringInputs, get_scorer
from headatlas.vlm.recipe import HeadRecipe


def test_a_louder_head_has_a_larger_effect_and_is_compared_by_the_same_scorers(inputs):
    vlm, data, acts = inputs.vlm, inputs.data, inputs.activations
    before = {"ablation": get_scorer("ablation")(ScoringInputs(acts, "predict", vlm=vlm, data=data))}
    recipe = HeadRecipe.of(vlm, "louder", [ha.scale(HeadSet("L1.H2"), 6.0)])
    table = validate("recruitment", recruitment(vlm, data, recipe, acts, before))
    assert set(table["scorer"]) == {"ablation", FROZEN}
    assert set(table["method"]) == {"louder"}
    effect = table[(table["scorer"] == "ablation")].set_index(["function", "layer", "head"])
    was, now = effect.loc[("spatial_perception", 1, 2), ["before", "after"]]
    assert abs(now) > 2 * abs(was), "six times as loud"
    assert was == before["ablation"].of("spatial_perception")[1, 2]
    probe = table[table["scorer"] == FROZEN]
    # z of layer 0 and of layer 1 does not change with what the last layer writes out.
    np.testing.assert_allclose(probe["before"], probe["after"], atol=1e-6)
    assert not probe[["found_before", "found_after"]].to_numpy().any()


def test_the_frozen_probe_reads_what_is_there(inputs):
    acts = inputs.activations
    before, after = frozen_probe(acts, acts, "predict", "spatial_perception")
    assert (before == after).all()
    assert before.shape == acts.z("predict", rows=np.array([0])).shape[1:3]
    assert ((before >= 0) & (before <= 1)).all()
    assert before.max() > 0.7


def test_a_recipe_that_is_no_change_of_weights_is_refused(inputs):
    recipe = HeadRecipe.of(inputs.vlm, "attentive", [ha.scale_attention(HeadSet("L1.H2"), "image", 2.0)])
    with pytest.raises(HeadAtlasError, match="no weight does"):
        recruitment(inputs.vlm, inputs.data, recipe, inputs.activations, {})
