import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scoring import SCORERS, PerSample, Scores, ScoringInputs, get_scorer, scorer, scorers
from headatlas.scoring.base import labels_of


def test_splits_are_read_in_order(world):
    acts, _ = world
    inputs = ScoringInputs(acts)
    rows = inputs.rows("S")
    assert (acts.steps["split"].iloc[rows] == "S").all()
    assert (inputs.z("S") == acts.array[rows]).all()
    assert inputs.steps("S").index.tolist() == list(range(len(rows)))
    assert [FUNCTIONS[c] for c in inputs.labels("S").argmax(1)] == inputs.steps("S")["function"].tolist()


def test_labels_of_many_functions(planted):
    steps = planted(20, multi=True)[0].steps
    labels = labels_of(steps)
    assert (labels.sum(1) == steps["functions"].str.count(r"\|") + 1).all()
    assert (labels.sum(1) > 1).any()


def test_text_of_steps_comes_from_the_data(world):
    acts, _ = world

    class Data:
        def steps(self):
            table = acts.steps[["question", "step"]].assign(text_of_step="where?")
            return table.sample(frac=1, random_state=0)

    assert (ScoringInputs(acts, data=Data()).steps("S")["text_of_step"] == "where?").all()
    assert (
        ScoringInputs(acts, data=Data()).steps("S")["question"].tolist()
        == ScoringInputs(acts).steps("S")["question"].tolist()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fit": "S"}, "must differ"),
        ({"on": "E"}, "split E is for the last evaluation"),
        ({"n_null": -1}, "n_null must be >= 0, got -1"),
    ],
)
def test_splits_that_leak_are_refused(world, fields, message):
    with pytest.raises(HeadAtlasError, match=message):
        ScoringInputs(world[0], **fields)


def test_missing_splits_and_tokens_say_what_is_there(world):
    with pytest.raises(HeadAtlasError, match=r"no step of split 'X'.*E, P, S, T"):
        ScoringInputs(world[0]).rows("X")
    with pytest.raises(HeadAtlasError, match=r"one of those captured .gold.*, got 'last'"):
        ScoringInputs(world[0], tokens="last").z("S")


def test_unknown_function_in_the_steps(world):
    with pytest.raises(HeadAtlasError, match=r"cognitive function must be one of .*; got 'smell'"):
        labels_of(world[0].steps.assign(functions="smell"))


def test_registry(world):
    assert set(scorers()) == {
        *(
            "paper",
            "linear",
            "ablation",
            "specificity",
            "attribution",
            "attention",
            "multihead",
            "backup",
            "gates",
            "gates_keeping",
        ),
        *("norm", "variance", "random"),
    }
    assert (SCORERS["linear"].title, SCORERS["linear"].label) == ("the linear probe", "Linear probe (A2)")
    with pytest.raises(HeadAtlasError, match=r"scorer must be one of .*; got 'papr', did you mean 'paper'"):
        get_scorer("papr")

    @scorer("constant")
    def constant(inputs: ScoringInputs) -> Scores:
        """Every head has the same score, whatever
        the data. More words.

        Even more.
        """
        return Scores("constant", np.zeros((8, 1, 1)))

    try:
        mine = get_scorer("constant")
        assert mine(ScoringInputs(world[0])).name == "constant"
        assert (mine.title, mine.label) == ("the scorer constant", "Constant")
        assert mine.description == "Every head has the same score, whatever the data."
        assert "constant" in scorers()
    finally:
        SCORERS.remove("constant")


def test_per_sample_means():
    samples = PerSample(np.array([[[1.0]], [[3.0]], [[5.0]]]), np.array([0, 0, 2]), np.array([0, 1, 1]))
    assert samples.mean(3).ravel().tolist() == [2.0, 0.0, 5.0]


def test_scores_must_be_finite():
    with pytest.raises(HeadAtlasError, match="'bad' must be finite, got 8"):
        Scores("bad", np.full((8, 1, 1), np.nan))


@pytest.mark.parametrize(
    ("values", "p", "message"),
    [
        (np.zeros((7, 1, 1)), None, "8 functions, layers, heads"),
        (np.zeros((8, 1, 1)), np.full((8, 1, 1), np.nan), "p-values of 'bad' must be in 0..1"),
        (np.zeros((8, 1, 1)), np.full((8, 1, 1), 1.5), "p-values of 'bad' must be in 0..1"),
    ],
)
def test_scores_and_p_values_must_fit(values, p, message):
    with pytest.raises(HeadAtlasError, match=message):
        Scores("bad", values, pvalues=p)


def test_objects_print_a_few_lines(world, linear_scores):
    for made in (linear_scores, linear_scores.per_sample, ScoringInputs(world[0])):
        assert 1 <= len(repr(made).splitlines()) <= 12
    assert "spatial_perception" in repr(linear_scores)
