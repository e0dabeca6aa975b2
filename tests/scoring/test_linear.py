import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SkRidge
from sklearn.metrics import roc_auc_score

from headatlas.errors import HeadAtlasError
from headatlas.scoring import ScoringInputs, get_scorer
from headatlas.scoring.linear import Ridge
from headatlas.scoring.select import rejected


def test_planted_heads_are_found(linear_scores, world):
    truth = world[1]
    found = rejected(linear_scores)
    assert found[truth].all()
    assert found[:, ~truth.any(0)].sum() <= 0.05 * found.sum() + 3
    best = linear_scores.values.reshape(8, -1).argmax(1)
    assert (best == truth.reshape(8, -1).argmax(1)).all()


def test_nothing_is_found_in_noise(noise_scores):
    assert rejected(noise_scores["linear"]).sum() <= 2


def test_scores_are_auc_less_control_and_the_means_of_their_steps(linear_scores):
    arrays = linear_scores.arrays
    assert np.allclose(linear_scores.values, arrays["auc"] - arrays["control"], atol=1e-6)
    assert np.allclose(linear_scores.per_sample.mean(), linear_scores.values, atol=1e-4)
    assert linear_scores.null.shape == (200, *linear_scores.values.shape)
    assert np.abs(linear_scores.null.mean(0)).max() < 1e-6


def test_ridge_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, 4)).astype(np.float32) + 3, rng.random((50, 3)) < 0.4
    found = Ridge(torch.as_tensor(x), 0.1).predict(torch.as_tensor(x), torch.as_tensor(y)).numpy()
    for j in range(2):
        alpha = 0.1 * x[j].var(0).mean() * 50
        model = SkRidge(alpha=alpha).fit(x[j], y)
        assert np.allclose(found[j], model.predict(x[j]) - y.mean(0), atol=1e-4)
    with pytest.raises(HeadAtlasError, match="ridge must be > 0"):
        Ridge(torch.as_tensor(x), 0.0)


def test_auc_is_that_of_a_plain_probe(world):
    """One head and function, recomputed with sklearn from z alone."""
    acts, truth = world
    inputs = ScoringInputs(acts)
    scores = get_scorer("linear")(inputs, confounds=(), ridges=(0.1,))
    c, layer, head = np.argwhere(truth)[0]
    x, on = inputs.z("P")[:, layer, head], inputs.z("S")[:, layer, head]
    alpha = 0.1 * x.var(0).mean() * len(x)
    predicted = SkRidge(alpha=alpha).fit(x, inputs.labels("P")[:, c]).predict(on)
    assert scores.arrays["auc"][c, layer, head] == pytest.approx(
        roc_auc_score(inputs.labels("S")[:, c], predicted), abs=1e-3
    )
    assert np.allclose(scores.arrays["auc"], scores.arrays["auc_raw"], atol=1e-6)


def test_what_a_head_knows_only_through_the_surface_does_not_count(planted):
    """A head that holds nothing but the answer's words, which give a function away, is seen raw and not when partialled."""
    acts, _ = planted(per_function=1, strength=0.0)
    math = acts.steps["function"] == "math_reasoning"
    steps = acts.steps.assign(gold=acts.steps["gold"].where(~math, "seven"))
    array = acts.array.copy()
    array[:, 0, 0, 0] += 4 * math.to_numpy()
    scores = get_scorer("linear")(ScoringInputs(type(acts)(steps, array)), **{})
    c = 6
    assert scores.arrays["auc_raw"][c, 0, 0] > 0.9
    assert scores.arrays["auc"][c, 0, 0] < 0.65
    assert scores.info["text_only_auc"][c] > 0.95
    assert abs(scores.arrays["gain"][c, 0, 0]) < 0.05


def test_gain_over_the_surface(linear_scores, world):
    gain = linear_scores.arrays["gain"]
    assert gain[world[1]].min() > 0.15
    assert abs(gain[:, ~world[1].any(0)].mean()) < 0.03


def test_one_question_cannot_be_cross_validated(world):
    acts, _ = world
    steps = acts.steps.copy()
    steps.loc[steps["split"] == "P", ["question", "scene"]] = "q0"
    with pytest.raises(HeadAtlasError, match="at least 2 scenes"):
        get_scorer("linear")(ScoringInputs(type(acts)(steps, acts.array)))
