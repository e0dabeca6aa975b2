"""Pairs of models of known similarity."""

import numpy as np
import pandas as pd
import pytest
from compare_runs import add_atlas, keep_scorers
from synthetic_run import write_run

from headatlas.compare.likeness import damage_matrix, likeness_table
from headatlas.compare.runs import read_models

WHOLE = ("counts", "functions", "damage", "damage_pairs", "profile_correlation")


def whole(table, scorer="paper"):
    return table[(table["function"] == "") & (table["scorer"] == scorer)].set_index("what")


def test_a_model_is_like_its_twin_in_everything(one, twin):
    table = likeness_table(read_models([one, twin]))
    for scorer in ("paper", "linear", "ablation"):
        found = whole(table, scorer)
        np.testing.assert_allclose(found.loc[list(WHOLE), "value"], 1)
        assert found.loc["profile_distance", "value"] == 0
        assert (found.loc[["functions", "damage", "damage_pairs"], "p"] < 0.001).all()
        assert found.loc["profile_distance", "p"] < 0.05


def test_with_the_functions_dealt_anew_it_is_not(one, turned):
    found = whole(likeness_table(read_models([one, turned])))
    assert (found.loc[["functions", "damage_pairs", "counts"], "value"] < 0.9).all()
    assert (found.loc[["functions", "damage_pairs"], "p"] > 0.01).all()
    assert found.loc["profile_match", "value"] < found.loc["profile_distance", "chance_high"]


def test_every_pair_and_measure_has_its_row_and_q_is_over_all(one, twin, other):
    table = likeness_table(read_models([one, twin, other]))
    assert len(table) == 3 * 3 * (7 + 2 * 8)
    assert set(zip(table["model_a"], table["model_b"], strict=True)) == {
        ("one", "twin"),
        ("one", "other"),
        ("twin", "other"),
    }
    known = table[table["p"].notna()]
    assert (known["q"] >= known["p"]).all()
    assert table["same"].isna().all()  # no atlas


def test_a_model_against_itself_with_other_questions(one, other):
    for run, noise in ((one, 0.01), (other, 0.01)):
        add_atlas(run, noise)
    clear = whole(likeness_table(read_models([one, other])))
    for run in (one, other):
        add_atlas(run, 1.0)
    noisy = whole(likeness_table(read_models([one, other])))
    assert clear.loc["functions", "same"] > 0.8
    assert noisy.loc["functions", "same"] < 0.5
    assert clear.loc["profile_distance", "same"] < noisy.loc["profile_distance", "same"]
    assert clear.loc["functions", "value"] == noisy.loc["functions", "value"]
    assert np.isnan(clear.loc["damage", "same"])


def test_sets_without_heads_tell_nothing_of_damage(one, twin):
    path = one / "results" / "damage.csv"
    table = pd.read_csv(path)
    empty = table["heads_of"] == "math_reasoning"
    table.loc[empty, ["k", "drop"]] = 0
    table.to_csv(path, index=False)
    models = read_models([one, twin])
    assert np.isnan(damage_matrix(models[0], "paper")).sum() == 8
    found = whole(likeness_table(models))
    assert found.loc["damage", "n"] == 49
    assert found.loc["damage", "value"] == pytest.approx(1)


def test_a_scorer_that_one_model_lacks_is_left_out(one, tmp_path):
    few = keep_scorers(write_run(tmp_path / "few", model="few"), "paper", "ablation")
    table = likeness_table(read_models([one, few]))
    assert set(table["scorer"]) == {"paper", "ablation"}
