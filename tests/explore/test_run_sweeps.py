"""What the sweeps of a run add to the explorer."""

import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.explore.run_sweeps import sweeps_document
from headatlas.results.sweep_files import write_sweep_record
from headatlas.results.sweeps import SWEEP_TABLES

F = "spatial_perception"
TITLES = {F: "Spatial perception"}


def add(root, name, rows, split="E"):
    (root / "sweep").mkdir(exist_ok=True)
    file = root / "sweep" / f"{name}.csv"
    table = pd.DataFrame(rows).reindex(columns=list(SWEEP_TABLES[name].names))
    SWEEP_TABLES[name].check(name, table).to_csv(file, index=False)
    facts = {"split": split, "operation": "mean", "scope": "all", "scorer": "ablation", "top": None, "scored_on": "S"}
    write_sweep_record(root, name, facts, [file], "select")


def test_a_run_without_sweeps_adds_nothing(tmp_path):
    assert sweeps_document(tmp_path, TITLES) == {"heads": None, "pairs": [], "sets": [], "left_out": []}


def test_the_effects_of_single_heads_are_a_grid(tmp_path):
    places = [(f, layer, head) for f in ("", F) for layer in range(2) for head in range(3)]
    rows = [{"function": f, "layer": i, "head": j, "loss": 10 * i + j, "n": 7} for f, i, j in places]
    add(tmp_path, "heads", rows[::-1])
    heads = sweeps_document(tmp_path, TITLES)["heads"]
    assert heads["values"] == {F: [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]}
    assert heads["steps"] == {F: 7}
    assert heads["unit"] == "nats"
    assert "split E" in heads["note"]


def test_pairs_and_sets_say_where_they_were_chosen_and_measured(tmp_path):
    pair = {"function": F, "head_b": "L1.H1", "drop_both": 1.0, "low": 0.0, "n": 7}
    rows = [{**pair, "head_a": f"L0.H{i}", "interaction": 0.1 * (i - 7)} for i in range(15)]
    add(tmp_path, "pairs", [*rows, {"function": "math_reasoning", "reason": "no heads"}], split="S")
    (group,) = sweeps_document(tmp_path, TITLES)["pairs"]
    assert [one["head_a"] for one in group["pairs"]][:2] == ["L0.H14", "L0.H13"]
    assert len(group["pairs"]) == 12
    assert group["pairs"][0]["high"] is None
    assert "exploratory" in group["note"]
    moves = [
        {"move": "add", "head": "L0.H1", "accuracy": 0.5},
        {
            "move": "chosen set, split E",
            "head": "L0.H1 L1.H2",
            "accuracy": 0.4,
            "accuracy_drop": 0.5,
            "low": 0.4,
            "high": 0.6,
        },
        {"move": "random sets, split E", "head": "5 sets", "accuracy": 0.88, "accuracy_drop": 0.02},
    ]
    add(tmp_path, "greedy", [{"function": F, "n": 7, **move} for move in moves])
    (one,) = sweeps_document(tmp_path, TITLES)["sets"]
    assert one["heads"] == ["L0.H1", "L1.H2"]
    assert (one["drop"], one["low"], one["high"], one["random"]) == (0.5, 0.4, 0.6, 0.02)
    assert one["note"] == "Chosen on split S, measured on split E."


def test_a_changed_file_is_refused_by_name(tmp_path):
    add(tmp_path, "heads", [{"function": "", "layer": 0, "head": 0, "loss": 1.0, "n": 7}])
    file = tmp_path / "sweep" / "heads.csv"
    file.write_text(file.read_text().replace("1.0", "2.0"))
    with pytest.raises(HeadAtlasError, match=r"heads\.csv is missing or was changed"):
        sweeps_document(tmp_path, TITLES)
