import numpy as np
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.scoring import ScoringInputs, get_scorer, probe_accuracy
from headatlas.scoring.paper import PRESETS, settings
from headatlas.scoring.select import rejected


def test_planted_heads_are_found(paper_scores, world):
    """Graded: every planted head passes the null, and heads planted for nothing do so at about the rate allowed."""
    truth = world[1]
    found = rejected(paper_scores) & (paper_scores.values > 0)
    assert found[truth].all()
    idle = ~truth.any(0)
    assert found[:, idle].sum() <= 0.05 * found.sum() + 3
    best = paper_scores.values.reshape(8, -1).argmax(1)
    assert (best == truth.reshape(8, -1).argmax(1)).all()


def test_nothing_is_found_in_noise(noise_scores):
    assert rejected(noise_scores["paper"]).sum() <= 2


def test_scores_are_the_means_of_their_steps(paper_scores, world):
    samples = paper_scores.per_sample
    assert np.allclose(samples.mean(), paper_scores.values)
    assert len(samples.values) == (world[0].steps["split"] == "S").sum()


def test_probe_is_told_beside_control_and_text(paper_scores):
    rows = {(r["split"], r["target"]): r for r in paper_scores.info["probe"] if r["measure"] == "accuracy"}
    assert set(rows) == {(split, target) for split in "ST" for target in ("true", "control", "text_only")}
    assert rows["S", "true"]["low"] > 0.5
    assert rows["S", "control"]["value"] < 0.3
    assert rows["S", "text_only"]["value"] < 0.45
    assert all(row["low"] <= row["value"] <= row["high"] for row in paper_scores.info["probe"])


def test_epochs_are_chosen_inside_p(planted):
    """Neither the labels nor z outside P (fit) and S (score) can change anything."""
    acts, _ = planted(60, (2, 3), per_function=1)
    options = {"max_epochs": 3, "seeds": 2, "n_null": 2, "probe_splits": ()}
    first = get_scorer("paper")(ScoringInputs(acts), **options)
    spoilt = type(acts)(acts.steps, acts.array.copy())
    spoilt.array[np.isin(acts.steps["split"], ["T", "E"])] = 1e3
    again = get_scorer("paper")(ScoringInputs(spoilt), **options)
    assert (first.values == again.values).all()
    assert (first.null == again.null).all()
    on_s = type(acts)(acts.steps, acts.array.copy())
    on_s.array[acts.steps["split"] == "S"] *= 2
    assert get_scorer("paper")(ScoringInputs(on_s), **options).info["val_loss"] == first.info["val_loss"]


def test_paper_preset_leaks_from_neighbours_where_strict_does_not(planted):
    """The layer's mean lends a planted head's score to idle heads of its layer."""
    acts, truth = planted(120, (4, 4), per_function=1, seed=3)
    inputs = ScoringInputs(acts)
    published = get_scorer("paper")(inputs, preset="paper", epochs=15, lr=3e-4, probe_splits=())
    strict = get_scorer("paper")(inputs, epochs=6, seeds=2, n_null=0, probe_splits=())
    assert published.pvalues is None

    def lent(scores):
        """Mean score of the other heads of planted heads' layers, over that of the planted heads."""
        neighbours = truth.any(2, keepdims=True) & ~truth
        return scores.values[neighbours].mean() / scores.values[truth].mean()

    assert lent(published) > 2 * max(lent(strict), 0)


def test_steps_with_several_functions(planted):
    acts, truth = planted(120, (4, 4), per_function=1, multi=True)
    scores = get_scorer("paper")(ScoringInputs(acts), epochs=12, seeds=2, n_null=5, probe_splits=("S",))
    best = scores.values.reshape(8, -1).argmax(1)
    assert (best == truth.reshape(8, -1).argmax(1)).mean() >= 7 / 8
    assert len(scores.per_sample.values) > (acts.steps["split"] == "S").sum()


def test_accuracy_on_the_last_split_is_only_told_when_asked(world):
    table = probe_accuracy(ScoringInputs(world[0]), "E", epochs=4, seeds=2)
    assert set(table["split"]) == {"E"}
    assert set(table.loc[table["measure"] == "auc", "function"]) == {"", *FUNCTIONS}


def test_absent_function_scores_nothing(world):
    acts, _ = world
    keep = ~acts.steps["functions"].str.contains("math_reasoning") | (acts.steps["split"] != "S")
    fewer = type(acts)(acts.steps[keep].reset_index(drop=True), acts.array[keep])
    scores = get_scorer("paper")(ScoringInputs(fewer), epochs=2, seeds=1, n_null=2, probe_splits=())
    assert scores.info["absent"] == ["math_reasoning"]
    assert (scores.of("math_reasoning") == 0).all()
    assert (scores.pvalues[FUNCTIONS.index("math_reasoning")] == 1).all()


def test_presets_and_options():
    assert (PRESETS["paper"].lr, PRESETS["paper"].epochs, PRESETS["paper"].layer_mean) == (1e-4, 100, True)
    assert PRESETS["strict"].seeds >= 5
    with pytest.raises(HeadAtlasError, match="got 'loose'"):
        settings("loose")
    with pytest.raises(HeadAtlasError, match="got 'sedes', did you mean 'seeds'"):
        settings(sedes=3)
