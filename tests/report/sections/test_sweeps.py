"""Sweeps in the report: each kind has a figure and a sentence with its split, and a file that is not of this run is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.report.one_task import only_the_task
from headatlas.report.page import Note
from headatlas.report.render import build_page, to_html
from headatlas.report.sections.sweeps import sweeps_section
from headatlas.report.tables import read_run
from headatlas.results.sweep_files import write_sweep_record
from headatlas.results.sweeps import SWEEP_TABLES
from headatlas.storage import SEAL, seal

F = "spatial_perception"


def heads():
    places = [(f, layer, head) for f in ("", F) for layer in range(3) for head in range(4)]
    table = pd.DataFrame(places, columns=["function", "layer", "head"])
    table["drop"] = np.where((table["layer"] == 1) & (table["head"] == 2), 0.4, 0.01)
    table = table.assign(loss=2 * table["drop"], loss_low=0.0, loss_high=1.0, n=60)
    return table.assign(low=table["drop"] - 0.02, high=table["drop"] + 0.02)


def pairs(names=("L0.H1", "L1.H2", "L2.H0")):
    rows = [(F, a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    table = pd.DataFrame(rows, columns=["function", "head_a", "head_b"])
    table = table.assign(
        drop_a=0.1, drop_b=0.1, drop_both=0.2, interaction=0.0, low=-0.1, high=0.1, accuracy_drop=0.1, n=60
    )
    table.loc[0, ["drop_both", "interaction", "low", "high"]] = [1.4, 1.2, 0.8, 1.5]
    nothing = {"function": "relational_reasoning", "reason": "none beat the null"}
    return pd.concat([table, pd.DataFrame([nothing])], ignore_index=True).assign(scorer="ablation")


def cumulative():
    ranking = [("ranking", k, f"L0.H{k}" if k else "", max(0.9 - 0.2 * k, 0.1)) for k in range(13)]
    random = [("random", k, "", 0.9 - 0.05 * k) for k in (0, 1, 2, 4, 8, 12)]
    table = pd.DataFrame([*ranking, *random], columns=["order", "k", "head", "accuracy"])
    bounds = {"low": table["accuracy"] - 0.05, "high": table["accuracy"] + 0.05}
    return table.assign(scorer="ablation", function=F, drop=0.1 * table["k"], unparsable=0.25, n=60, **bounds)


def greedy():
    moves = [("add", "L1.H2", 1, 0.5), ("add", "L0.H1", 2, 0.2), ("put back", "L1.H2", 1, 0.25)]
    table = pd.DataFrame(moves, columns=["move", "head", "k", "accuracy"])
    table = table.assign(round=range(1, 4), drop=1.0, share=0.9, n=40)
    judged = [
        {"move": "chosen set, split E", "head": "L0.H1", "accuracy": 0.4, "accuracy_drop": 0.5, "low": 0.4, "high": 0.6,
         "p": 1 / 6, "unparsable": 0.1},
        {"move": "random sets, split E", "head": "5 sets, in the same layers", "accuracy": 0.88, "accuracy_drop": 0.02,
         "low": 0.0, "high": 0.05},
    ]  # fmt: skip
    table = pd.concat([table, pd.DataFrame(judged).assign(k=1, n=60)], ignore_index=True)
    return table.assign(function=F, scorer="ablation")


def add(run_dir, name, table, split="E", scorer="ablation", **more):
    (run_dir / "sweep").mkdir(exist_ok=True)
    file = run_dir / "sweep" / f"{name}.csv"
    table = table.reindex(columns=list(SWEEP_TABLES[name].names))
    SWEEP_TABLES[name].check(name, table).to_csv(file, index=False)
    facts = {"split": split, "operation": "mean", "scope": "all", "scorer": scorer, "top": None, "scored_on": "S"}
    write_sweep_record(run_dir, name, facts | more, [file], "select")


def section(run_dir):
    return sweeps_section(read_run(run_dir))


def notes(run_dir):
    return " ".join(block.text for block in section(run_dir).blocks if isinstance(block, Note))


def figures(run_dir):
    return {block.name: block for block in section(run_dir).blocks if block.kind == "figure"}


def test_a_run_without_sweeps_says_how_to_get_them(run_dir):
    assert "headatlas sweep heads" in notes(run_dir)


def test_single_heads_are_ranked_beside_all_others(run_dir):
    add(run_dir, "heads", heads(), scorer="")
    assert "L1.H2: 40.0 points (38.0 to 42.0). Removing another head costs 1.0 points" in notes(run_dir)
    ranked = figures(run_dir)["sweep-heads"]
    assert "Measured on split E; heads were replaced by their mean at all tokens." in ranked.caption
    rows = max(ranked.charts[1].spec["datasets"].values(), key=len)
    assert rows[0]["row"] == "L1.H2"
    assert rows[-1]["row"] == "the others"
    assert rows[-1]["value"] == pytest.approx(1.0)


def test_pairs_are_compared_with_the_sum_of_each_alone(run_dir):
    add(run_dir, "pairs", pairs(), scorer="ablation")
    text = notes(run_dir)
    assert "without L0.H1 and L1.H2 the right answer loses 1.40 nats, 1.20 (difference 0.80 to 1.50) more than" in text
    assert "excludes 0 for 1 of 3 pairs" in text
    assert "Pairs, relational reasoning: none beat the null." in text
    assert "Exploratory" not in figures(run_dir)["sweep-pairs"].caption
    add(run_dir, "pairs", pairs(), split="S[:20]")
    assert "Exploratory: the heads were chosen on the same questions" in figures(run_dir)["sweep-pairs"].caption


def test_many_heads_are_shown_as_the_pairs_that_depart_most(run_dir):
    add(run_dir, "pairs", pairs([f"L{i}.H{j}" for i in range(4) for j in range(4)]))
    (chart,) = figures(run_dir)["sweep-pairs"].charts
    rows = max(chart.spec["datasets"].values(), key=len)
    assert len(rows) == 12
    assert rows[0]["row"] == "L0.H0 L0.H1"


def test_a_ranking_stands_beside_random_orders(run_dir):
    add(run_dir, "cumulative", cumulative())
    assert (
        "without the first head of the ranking, accuracy falls from 90.0 % to 70.0 %; without as many heads in random order "
        "it is 85.0 %. 25.0 % of the answers are then unreadable."
    ) in notes(run_dir)
    assert "Exploratory" not in figures(run_dir)["sweep-cumulative"].caption


def test_a_minimal_set_is_judged_on_other_questions_than_it_was_chosen_on(run_dir):
    add(run_dir, "greedy", greedy())
    text = notes(run_dir)
    assert "L0.H1 does most of the damage. On split E, without it, accuracy falls from 90.0 % to 40.0 %" in text
    assert "random sets (5 sets, in the same layers) lose 2.0 points, p = 0.167" in text
    caption = figures(run_dir)["sweep-greedy"].caption
    assert "exploratory: they are of split S" in caption


def test_all_of_them_are_in_the_page(run_dir):
    for name, table in {"heads": heads(), "pairs": pairs(), "cumulative": cumulative(), "greedy": greedy()}.items():
        add(run_dir, name, table)
    html = to_html(build_page(read_run(run_dir)))
    assert '<section id="sweeps"' in html
    for name in ("sweep-heads", "sweep-map", "sweep-pairs", "sweep-cumulative", "sweep-greedy"):
        assert f"{name}-{F}" in html
    one = only_the_task(read_run(run_dir))
    assert set(one.sweeps.done["heads"].table["function"]) == {F}


def test_a_changed_file_is_refused_by_name(run_dir):
    add(run_dir, "heads", heads())
    file = run_dir / "sweep" / "heads.csv"
    file.write_text(file.read_text().replace("0.4", "0.5", 1))
    with pytest.raises(HeadAtlasError, match=r"heads\.csv is missing or was changed .* run `headatlas sweep heads"):
        read_run(run_dir)
    record = run_dir / "sweep" / "heads.json"
    record.write_text(record.read_text().replace('"E"', '"S"'))
    with pytest.raises(HeadAtlasError, match=r"heads\.json was changed"):
        read_run(run_dir)


def sealed(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(seal(json.dumps({**value, "seal": SEAL.decode()}).encode()))


def test_a_sweep_of_another_run_is_refused_by_name(run_dir):
    sealed(run_dir / "run.json", {"run": {"model": "a"}})
    add(run_dir, "heads", heads())
    assert read_run(run_dir).sweeps.done
    sealed(run_dir / "run.json", {"run": {"model": "b"}})
    with pytest.raises(HeadAtlasError, match=r"heads\.json must be of this run's model"):
        read_run(run_dir)


def test_a_sweep_that_is_out_of_date_or_did_not_end_is_named_and_not_shown(run_dir):
    sealed(run_dir / "stages" / "select.json", {"outputs": "1", "files": {}})
    add(run_dir, "pairs", pairs())
    add(run_dir, "heads", heads())
    (run_dir / "sweep" / "heads.json").unlink()
    assert "sweep/heads.csv is not shown, because the sweep did not end" in notes(run_dir)
    sealed(run_dir / "stages" / "select.json", {"outputs": "2", "files": {}})
    assert "sweep/pairs.csv is not shown, because the stage select has new results since" in notes(run_dir)
    assert not figures(run_dir)
