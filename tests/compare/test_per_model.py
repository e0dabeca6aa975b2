"""Models side by side: numbers from the runs' tables, and computed ones compared with another method."""

import numpy as np
import pandas as pd
import pytest
from compare_runs import add_atlas
from scipy.stats import false_discovery_control, spearmanr

from headatlas.cogvsr import FUNCTIONS
from headatlas.compare import per_model
from headatlas.compare.runs import read_models


@pytest.fixture
def models(one, other):
    return read_models([one, other])


def test_what_each_model_is(models):
    table = per_model.models_table(models, models[0].run.path.parent).set_index("model")
    assert table.loc["other", ["layers", "heads_per_layer", "total", "kv_heads", "family"]].tolist() == [
        9,
        4,
        36,
        2,
        "synthetic",
    ]
    assert table["run"].tolist() == ["one", "other"]
    assert per_model.models_table(models, models[0].run.path)["run"].tolist() == ["", ""]


def test_the_runs_own_tables_stand_one_below_the_other(models):
    table = per_model.stacked(models, "damage")
    assert table.columns[0] == "model"
    for model in models:
        own = table[table["model"] == model.label].drop(columns="model").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, model.run.tables["damage"])


def test_counts_are_those_of_the_selection(models):
    counts = per_model.counts_table(models)
    assert len(counts) == 2 * 3 * 8
    for model in models:
        rows = model.run.tables["selection"]
        told = rows[rows["selector"] == "null"].set_index(["scorer", "function"])["count"]
        found = counts[counts["model"] == model.label].set_index(["scorer", "function"])
        assert (found["count"] == told.loc[found.index]).all()
        np.testing.assert_allclose(
            found["share"], found["count"] / model.run.tables["scores"][["layer", "head"]].drop_duplicates().shape[0]
        )
    assert counts["low"].isna().all()  # no atlas, no interval


def test_with_an_atlas_shares_and_profiles_have_intervals_around_them(one, other):
    for run in (one, other):
        add_atlas(run, noise=0.3)
    models = read_models([one, other])
    for table in (per_model.counts_table(models), per_model.profiles_table(models).query("kind == 'score'")):
        assert (table["low"] <= table["share"]).all()
        assert (table["share"] <= table["high"]).all()
        assert (table["high"] - table["low"]).max() > 0.01
    functions = per_model.functions_table(models)
    assert ((functions["low"] <= functions["spearman"]) & (functions["spearman"] <= functions["high"])).all()


def test_profiles_sum_to_one_and_bins_are_the_shallower_models_layers(models):
    table = per_model.profiles_table(models)
    sums = table.groupby(["model", "scorer", "function", "kind"])["share"].sum(min_count=1).dropna()
    np.testing.assert_allclose(sums, 1)
    assert table["depth_high"].nunique() == 6
    rows = table[
        (table["model"] == "one")
        & (table["scorer"] == "paper")
        & (table["function"] == "math_reasoning")
        & (table["kind"] == "selected")
    ]
    heads = models[0].selected["paper"][FUNCTIONS.index("math_reasoning")]
    np.testing.assert_allclose(rows["share"], heads.sum(1) / heads.sum())


def test_functions_are_correlated_over_heads(models):
    table = per_model.functions_table(models)
    row = table[(table["model"] == "other") & (table["scorer"] == "ablation")].iloc[9]
    values = models[1].scores["ablation"]
    a, b = (values[FUNCTIONS.index(row[key])].ravel() for key in ("function_a", "function_b"))
    assert row["spearman"] == pytest.approx(spearmanr(a, b).statistic)
    assert row["n"] == 36


def test_a_function_with_one_score_for_all_heads_is_like_nothing():
    values = np.random.default_rng(0).normal(size=(8, 3, 4))
    values[2] = 0.5
    found = per_model.similarity(values)
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(np.delete(found, 2, 0), 2, 1)).all()


def test_scorers_are_compared_pair_by_pair_as_the_runs_do(models):
    table = per_model.scorers_table(models)
    assert set(zip(table["scorer_a"], table["scorer_b"], strict=True)) == {
        ("paper", "linear"),
        ("paper", "ablation"),
        ("linear", "ablation"),
    }
    row = table[(table["model"] == "one") & (table["scorer_b"] == "ablation")].iloc[3]
    f = FUNCTIONS.index(row["function"])
    own = models[0].scores
    assert row["spearman"] == pytest.approx(spearmanr(own["paper"][f].ravel(), own["ablation"][f].ravel()).statistic)
    assert row["low"] < row["spearman"] < row["high"]


def test_claims_are_those_of_the_runs_with_q_over_all_of_them(models):
    table = per_model.claims_table(models)
    assert len(table) == sum(len(m.run.claims) for m in models)
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    first = models[0].run.claims[0]
    assert table.iloc[0][["id", "scorer", "verdict"]].tolist() == [first["id"], first["scorer"], first["verdict"]]


@pytest.mark.parametrize(("selector", "known"), [("functional", True), ("null", True), ("top_k", False)])
def test_selectors_that_take_account_of_chance_have_intervals(one, other, selector, known):
    add_atlas(one, noise=0.3)
    model = read_models([one, other])[0]
    scorer = next(name for name, scores in model.atlas.items() if scores.per_sample is not None)
    half = per_model._share_half_width(model, scorer, selector)
    assert np.isfinite(half).any() == known
