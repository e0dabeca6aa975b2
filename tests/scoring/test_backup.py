"""The scorer `backup`: heads that stand in for each other are found, and heads that only break the model are not."""

import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head
from headatlas.scoring import ScoringInputs, get_scorer, select
from headatlas.scoring.ablation import SingleHeadDamage
from headatlas.scoring.backup import either_p
from headatlas.scoring.specificity import LEAST, contrast
from headatlas.truth.synthetic import Rules, SyntheticWorld, drawn


def scored(world, name="backup", n_null=200, **options):
    inputs = ScoringInputs(world.activations, "predict", vlm=world.vlm, data=world.data, n_null=n_null)
    return get_scorer(name)(inputs, runner=world.runner(), **options)


def chosen(scores):
    return np.stack([select(scores, f, "functional").mask(scores.shape) for f in FUNCTIONS])


@pytest.fixture(scope="module")
def redundant():
    """Spatial functions are carried by either of two heads each, the others by one."""
    world = drawn("redundant", 0, questions=600)
    return world, scored(world)


def test_heads_that_stand_in_for_each_other_are_found(redundant):
    world, scores = redundant
    alone = chosen(scored(world, "specificity"))
    in_pairs = world.truth.sum((1, 2)) == 2
    assert in_pairs.any()
    assert not alone[in_pairs].any()
    found = chosen(scores)
    assert (found & world.truth).sum() >= 0.9 * world.truth.sum()
    assert (found & ~world.truth).sum() <= 1


def test_a_score_is_the_larger_of_alone_and_share(redundant):
    world, scores = redundant
    alone, share = scores.arrays["alone"], scores.arrays["share"]
    np.testing.assert_array_equal(scores.values, np.fmax(alone, share))
    np.testing.assert_allclose(scores.per_sample.mean(), scores.values, atol=1e-5)
    harmless = np.isfinite(share).all(0)
    assert scores.info["harmless"] == harmless.sum()
    single = world.truth[world.truth.sum((1, 2)) == 1].any(0)
    assert not harmless[single].any()  # a head that alone carries a function stays where it is
    pairs = world.truth[world.truth.sum((1, 2)) == 2]
    assert share[world.truth.sum((1, 2)) == 2][pairs].min() > 5 * max(scores.info["error"])


@pytest.mark.parametrize("kind", ["format", "diffuse"])
def test_heads_of_no_function_are_not_selected(kind):
    """Removing many heads does damage here, but to every function alike."""
    world = drawn(kind, 1, questions=400)
    assert chosen(scored(world)).sum() <= 2


def test_p_keeps_its_level_and_costs_nothing_where_both_measures_agree():
    """40 scenes with one step of a function and one of another, whose losses differ by the least effect on average."""
    rng = np.random.default_rng(4)
    steps = pd.DataFrame({"functions": list(FUNCTIONS[:2]) * 40, "scene": np.repeat(np.arange(40), 2).astype(str)})
    steps["question"] = steps["scene"]
    harmless = np.ones((2, 6), bool)
    harmless[0, 0] = False
    apart, same = [], []
    for seed in range(60):
        alone, share = (rng.normal(size=(80, 2, 6)).astype(np.float32) for _ in range(2))
        alone[::2] += LEAST
        share[::2] += LEAST
        one, two = (
            SingleHeadDamage(steps, alone, np.zeros_like(alone)),
            SingleHeadDamage(steps, share, np.zeros_like(share)),
        )
        apart.append(either_p(one, two, np.full(8, LEAST), harmless, 200, seed)[0])
        same.append(
            either_p(one, one, np.full(8, LEAST), harmless, 200, seed)[0]
            - contrast(one, 200, seed, least=LEAST).pvalues[0][harmless]
        )
    assert 0.02 < (np.array(apart) <= 0.05).mean() < 0.08
    assert np.abs(same).max() < 0.05
    assert np.array(apart).shape[1] == 11


def test_without_two_harmless_heads_it_is_the_specific_ablation():
    heads = [Head(*place) for place in np.ndindex(2, 4)]
    roles = {name: ("single", (heads[i],)) for i, name in enumerate(FUNCTIONS)}
    world = SyntheticWorld(Rules((2, 4), roles, questions=200), 3)
    scores = scored(world, questions=40)
    assert (scores.info["harmless"], scores.info["halves"]) == (0, 0)
    assert np.isnan(scores.arrays["share"]).all()
    np.testing.assert_array_equal(scores.values, scores.arrays["alone"])


def test_what_it_needs_is_said_first():
    world = drawn("planted", 0, questions=40)
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("backup")(ScoringInputs(world.activations))
    with pytest.raises(HeadAtlasError, match="halves must be 24 or more"):
        scored(world, halves=8)
