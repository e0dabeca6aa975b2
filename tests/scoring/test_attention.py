"""A5 finds heads that look at what is asked about, and not those that always look at one place or at the whole picture."""

import numpy as np
import pandas as pd
import pytest

from headatlas.activations.attention import AttentionSummaries
from headatlas.activations.row_summary import SUMMARIES
from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scoring.base import ScoringInputs, UnscorableError, get_scorer, scorers
from headatlas.scoring.select import select

SPATIAL = FUNCTIONS.index("spatial_perception")


class Summaries(AttentionSummaries):
    """Ninety steps of thirty questions; head L0.H1 looks at the target, L0.H2 at one place, L1.H0 at half the picture."""

    def __init__(self, seed=0):
        numbers = np.random.default_rng(seed)
        self.steps = pd.DataFrame(
            {
                "question": np.repeat(np.arange(30), 3).astype(str),
                "step": np.tile([0, 1, 2], 30),
                "functions": ["spatial_perception", "low_level_perception", "decision_making"] * 30,
                "split": "S",
                "scene": np.repeat(np.arange(30), 3).astype(str),
            }
        )
        shape = (90, 2, 3)
        kept = {name: numbers.uniform(0.0, 0.04, shape).astype(np.float32) for name in SUMMARIES}
        kept["image"] += 0.5
        kept["target"][:, 0, 1] = numbers.uniform(0.5, 0.9, 90)
        kept["target"][:, 0, 2] = kept["foreign"][:, 0, 2] = numbers.uniform(0.4, 0.6, 90)  # beats random boxes alone
        for name in ("target", "random", "foreign"):
            kept[name][:, 1, 0] += 0.3
        kept["target"][2::3] = np.nan
        kept["foreign"][2::3] = np.nan
        self._kept = kept

    def __getitem__(self, name):
        return self._kept[name]


class Activations:
    def __init__(self, steps):
        self.steps, self.tokens = steps, ("gold",)

    def z(self, tokens, rows=None):
        raise AssertionError("attention needs no z")


@pytest.fixture(scope="module")
def scores():
    summaries = Summaries()
    return get_scorer("attention")(ScoringInputs(Activations(summaries.steps), n_null=200), summaries=summaries)


def test_it_is_a_scorer():
    assert "attention" in scorers()


def test_the_looking_head_is_found_and_sinks_are_not(scores):
    significant = scores.pvalues[SPATIAL] < 0.01
    assert np.argwhere(significant).tolist() == [[0, 1]]
    assert scores.values[SPATIAL, 0, 2] > 0.3  # its gaze alone would have been taken for real
    assert abs(scores.values[SPATIAL, 1, 0]) < 0.05


def test_values_are_means_over_the_steps_with_boxes(scores):
    summaries = Summaries()
    gaze = (summaries["target"] - summaries["random"])[::3]
    np.testing.assert_allclose(scores.values[SPATIAL], gaze.mean(0), atol=1e-6)
    np.testing.assert_allclose(scores.per_sample.mean()[SPATIAL], gaze.mean(0), atol=1e-6)
    assert scores.arrays["selectivity"].shape == scores.values.shape
    np.testing.assert_allclose(
        scores.arrays["selectivity"][SPATIAL],
        summaries["target"][::3].mean(0) / summaries["image"][::3].mean(0),
        atol=1e-5,
    )


def test_functions_without_boxes_are_named(scores):
    absent = FUNCTIONS.index("decision_making")
    assert "decision_making" in scores.info["absent"]
    assert (scores.values[absent] == 0).all()
    assert (scores.pvalues[absent] == 1).all()


def test_without_boxes_there_is_nothing_to_score():
    summaries = Summaries()
    summaries._kept["target"][:] = np.nan
    with pytest.raises(UnscorableError, match="needs steps with boxes"):
        get_scorer("attention")(ScoringInputs(Activations(summaries.steps)), summaries=summaries)


def test_a_model_is_needed():
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("attention")(ScoringInputs(Activations(Summaries().steps)))


def test_under_the_null_nothing_is_found():
    summaries = Summaries(1)
    for name in ("target", "random", "foreign"):
        summaries._kept[name] = summaries._kept["entropy"] + np.random.default_rng(2).normal(0, 0.05, (90, 2, 3))
    scores = get_scorer("attention")(ScoringInputs(Activations(summaries.steps), n_null=200), summaries=summaries)
    assert (scores.pvalues > 0.02).all()


def test_no_head_passes_whose_gaze_the_untrained_twin_has_too(scores):
    twin = Summaries()
    inputs = ScoringInputs(Activations(twin.steps), n_null=200)
    again = get_scorer("attention")(inputs, summaries=Summaries(), twin=twin)
    assert (again.pvalues == 1).all()
    np.testing.assert_allclose(again.arrays["twin"][SPATIAL], again.values[SPATIAL].max(), rtol=1e-5)
    twin._kept["target"] *= 0.1
    weaker = get_scorer("attention")(inputs, summaries=Summaries(), twin=twin)
    assert np.argwhere(weaker.pvalues[SPATIAL] < 0.01).tolist() == [[0, 1]]


def test_selectors_take_it(scores):
    assert callable(select)
    assert scores.null.shape == (200, *scores.values.shape)


def test_on_a_real_model(tiny_vlm, tiny_questions, tmp_path):
    from headatlas.cogvsr.schema import Box

    class Data(list):
        def split(self, name):
            return Data(q for q in self if q.split == name)

    box = Box(x0=0.1, y0=0.1, x1=0.4, y1=0.4)
    made = Data(
        q.model_copy(update={"steps": tuple(s.model_copy(update={"boxes": (box,)}) for s in q.steps)})
        for q in tiny_questions
    )
    inputs = ScoringInputs(Activations(Summaries().steps), vlm=tiny_vlm, data=made, n_null=50)
    scores = get_scorer("attention")(inputs, cache_dir=tmp_path)
    assert scores.shape == (2, 4)
    assert scores.info["steps"] == sum(len(q.steps) for q in made.split("S"))
    assert scores.info["twin"]
    assert {path.name for path in tmp_path.iterdir()} == {"attention-S-last", "attention-S-last-twin"}
    with pytest.raises(UnscorableError, match="no step of split S has boxes"):
        get_scorer("attention")(ScoringInputs(Activations(Summaries().steps), vlm=tiny_vlm, data=Data(tiny_questions)))
    again = get_scorer("attention")(inputs, cache_dir=tmp_path)
    np.testing.assert_array_equal(again.values, scores.values)
