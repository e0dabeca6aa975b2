"""Sweeps in the run directory of a finished study."""

import json
import subprocess
import sys
from itertools import combinations

import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.results.sweep_files import read_sweeps
from headatlas.study import kept_settings, open_study, run_sweep


@pytest.fixture(scope="module")
def opened(finished):
    return open_study(kept_settings(finished), finished)


def test_all_heads_by_function(opened):
    csv, _ = run_sweep(opened, "heads", split="E[:8]")
    table = pd.read_csv(csv, keep_default_na=False)
    layers, heads = opened.vlm.heads.shape
    whole = table[table["function"] == ""]
    assert len(whole) == layers * heads
    assert (table.groupby("function").size() == layers * heads).all()
    # The table is of the same losses as the study's own scorer, on another split: not all zero, and not all alike.
    assert whole["loss"].abs().max() > 0.01
    assert whole["loss"].nunique() > layers * heads // 2


def test_cumulative_starts_bare_and_falls(opened):
    (csv,) = run_sweep(opened, "cumulative", ("spatial_perception",), split="E[:8]")
    table = pd.read_csv(csv, keep_default_na=False)
    ranking, random = table[table["order"] == "ranking"], table[table["order"] == "random"]
    n = opened.vlm.heads.shape[0] * opened.vlm.heads.shape[1]
    assert ranking["k"].tolist() == list(range(n + 1))
    assert random["k"].tolist() == [0, 1, 2, 4, 8, 16, 32, n]
    # With every head gone nothing of the picture reaches the answer, in whatever order they went.
    assert ranking["accuracy"].iloc[-1] < ranking["accuracy"].iloc[0]
    for place in (0, -1):
        assert ranking[["accuracy", "drop", "unparsable"]].iloc[place].tolist() == pytest.approx(
            random[["accuracy", "drop", "unparsable"]].iloc[place].tolist()
        )
    kept = read_sweeps(opened.run.root).done["cumulative"]
    assert (kept.split, kept.scorer, kept.chosen_here) == ("E[:8]", "ablation", False)


def table_of(finished, command, *options):
    arguments = [*command, "--out", str(finished), "--function", "spatial_perception", "--top", "3", "--json", *options]
    done = subprocess.run([sys.executable, "-m", "headatlas", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    return pd.read_csv(file)


def test_the_command_looks_at_all_pairs_of_the_top_heads(finished, opened):
    table = table_of(finished, ["sweep", "pairs"], "--split", "E[:8]")
    top = [str(head) for head in opened.atlas.ranking("spatial_perception", "ablation")[:3]]
    assert list(zip(table["head_a"], table["head_b"], strict=True)) == list(combinations(top, 2))
    more = table["drop_both"] - table["drop_a"] - table["drop_b"]
    assert table["interaction"].to_numpy() == pytest.approx(more.to_numpy(), abs=1e-9)
    assert (table["low"] <= table["interaction"]).all()
    assert (table["interaction"] <= table["high"]).all()
    assert table["interaction"].abs().max() > 0


def test_the_command_finds_a_minimal_set_on_s_and_evaluates_it_on_e(finished, opened):
    table = table_of(finished, ["ablate", "--sweep", "greedy"])
    top = {str(head) for head in opened.atlas.ranking("spatial_perception", "ablation")[:3]}
    last, control = table[table["move"] == "chosen set, split E"].iloc[-1], table.iloc[-1]
    assert control["move"] == "random sets, split E"
    assert control["head"].startswith("2 sets, ")
    assert last["accuracy"] + last["accuracy_drop"] == pytest.approx(control["accuracy"] + control["accuracy_drop"])
    assert 1 / 3 <= last["p"] <= 1
    assert set(last["head"].split()) <= top
    assert len(last["head"].split()) == last["k"]
    assert table["share"].dropna().iloc[-1] >= 0.8
    # Chosen on the steps of one split, evaluated on those of the other.
    assert table["n"].iloc[0] != last["n"]
    assert last["low"] <= last["accuracy_drop"] <= last["high"]


def test_a_function_without_heads_has_a_row_that_says_why(opened, monkeypatch):
    monkeypatch.setattr(type(opened), "head_set", lambda *_: HeadSet((), reason="none beat the null"))
    for sweep in ("pairs", "greedy"):
        (csv,) = run_sweep(opened, sweep, ("spatial_perception",))
        assert "none beat the null" in pd.read_csv(csv)["reason"].iloc[0]


@pytest.mark.parametrize(
    ("what", "options", "told"),
    [
        ("all", {}, "sweep must be one of"),
        ("pairs", {"scorer": "guess"}, "got 'guess'"),
        ("pairs", {"functions": ("seeing",)}, "seeing"),
        ("greedy", {"split": "E"}, "chooses heads on split S"),
        ("cumulative", {"top": 3}, "for the sweeps pairs and greedy"),
        ("pairs", {"top": 0}, "at least 1"),
    ],
)
def test_mistakes_are_named(opened, what, options, told):
    with pytest.raises(HeadAtlasError, match=told):
        run_sweep(opened, what, **options)


def test_a_sweep_before_its_stage_says_which(tmp_path, opened):
    fresh = open_study(opened.settings, tmp_path / "run")
    with pytest.raises(HeadAtlasError, match="needs the stage 'capture'"):
        run_sweep(fresh, "heads")
