"""Specific ablation: a head that every function needs is specific to none."""

import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scoring import ScoringInputs, get_scorer, select
from headatlas.truth.synthetic import Rules, SyntheticWorld, drawn


def scored(world, name="specificity", n_null=200):
    inputs = ScoringInputs(world.activations, "predict", vlm=world.vlm, data=world.data, n_null=n_null)
    return get_scorer(name)(inputs, runner=world.runner())


def test_scores_are_losses_beyond_those_of_the_scenes_other_steps():
    world = drawn("planted", 0, questions=80)
    runner = world.runner()
    from headatlas.heads import Head, HeadSet
    from headatlas.intervention import Condition, ablate

    scores = scored(world, n_null=0)
    before, after = runner.baseline("S"), runner.run(Condition("", (ablate(HeadSet([Head(2, 3)]), "zero", None),)), "S")
    lost = (before["logprob"] - after["logprob"]).to_numpy()
    wanted = []
    for i, row in before.iterrows():
        others = (before["scene"] == row["scene"]) & (before["function"] != FUNCTIONS[2])
        if row["function"] == FUNCTIONS[2] and others.any():
            wanted.append(lost[i] - lost[others].mean())
    assert scores.of(FUNCTIONS[2])[2, 3] == pytest.approx(np.mean(wanted), abs=1e-6)


def test_heads_of_the_form_of_answers_are_selected_by_plain_ablation_and_not_by_the_specific_one():
    world = drawn("format", 1, questions=300)
    found = {
        name: [len(select(scored(world, name), f, "functional")) for f in FUNCTIONS]
        for name in ("ablation", "specificity")
    }
    assert found["ablation"] == [3] * 8
    assert found["specificity"] == [0] * 8


def test_planted_heads_are_found():
    world = drawn("planted", 2, questions=600)
    scores = scored(world)
    chosen = np.stack([select(scores, f, "functional").mask(scores.shape) for f in FUNCTIONS])
    assert (chosen & world.truth).sum() >= 0.9 * world.truth.sum()
    assert (chosen & ~world.truth).sum() <= 1


def test_a_function_alone_in_its_scenes_cannot_be_scored():
    world = SyntheticWorld(Rules(questions=40))
    world.steps = world.steps[world.steps["function"] == FUNCTIONS[0]].reset_index(drop=True)
    world._margin, world._jitter = world._margin[: len(world.steps)], world._jitter[: len(world.steps)]
    world._function = world._function[:0].tolist() + [0] * len(world.steps)
    world._function = np.array(world._function)
    with pytest.raises(HeadAtlasError, match="all steps of split P have the same"):
        scored(world, n_null=20)


def test_it_needs_the_model():
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("specificity")(ScoringInputs(drawn("planted", 0, questions=40).activations))
