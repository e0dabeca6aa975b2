"""What heads look at: pictures, cards, the scatter and the groups, and one line where attention could not be scored."""

import json

import pandas as pd

from headatlas.report import words
from headatlas.report.page import Figure, Note, Table
from headatlas.report.sections.looking import looking_section
from headatlas.report.tables import read_run


def test_it_shows_questions_cards_scatter_and_groups(run_dir):
    made = looking_section(read_run(run_dir))
    assert len(made.data["questions"]) == 3
    assert made.data["questions"][0]["image"].startswith("data:image/webp")
    assert made.data["questions"][0]["heads"][1] == {
        "head": "L5.H1", "image": made.data["questions"][0]["image"], "share": "80 % on target"
    }  # fmt: skip
    assert [card["head"] for card in made.data["cards"]] == ["L5.H0", "L5.H1", "L5.H2", "L5.H3"]
    assert len(made.data["cards"][0]["effects"]) == 8
    assert max(one["width"] for one in made.data["cards"][0]["effects"]) <= 100
    figures = {block.name: block for block in made.blocks if isinstance(block, Figure)}
    assert set(figures) == {"looking-scatter", "looking-groups"}
    heads = next(rows for rows in figures["looking-scatter"].charts[0].spec["datasets"].values() if "name" in rows[0])
    assert len(heads) == 48
    assert {row["series"] for row in heads if row["name"].startswith("L5.H") and int(row["name"][4:]) < 4} == {
        "In a redundant group"
    }
    drops = next(rows for rows in figures["looking-groups"].charts[0].spec["datasets"].values() if "series" in rows[0])
    assert {row["series"]: row["value"] for row in drops if row["row"] == "Spatial perception"} == {
        "One head (mean)": 0.4, "Half of them": 9.0, "All of them": 34.0, "As many random heads": 3.0
    }  # fmt: skip
    table = next(block for block in made.blocks if isinstance(block, Table) and block.title == "The groups in numbers")
    assert table.rows[0][:8] == (
        "Spatial perception",
        "L5.H0 L5.H1 L5.H2 L5.H3",
        "+0.4",
        "+2.0",
        "+9.0",
        "+34.0",
        "+3.0",
        "0.0 %",
    )


def test_a_scorer_that_was_left_out_is_one_line(run_dir):
    for name in ("gaze.csv", "groups.csv", "looking.json"):
        (run_dir / "results" / name).unlink()
    row = {"scorer": "attention", "title": "gaze", "label": "Attention (A5)", "description": "Gaze.", "unit": "share"}
    pd.DataFrame([{**row, "left_out": "no step of split S has boxes"}]).to_csv(
        run_dir / "results" / "scorers.csv", index=False
    )
    run = read_run(run_dir)
    with words.scorer_names(run.tables["scorers"]):
        made = looking_section(run)
    assert [block.text for block in made.blocks] == ["Attention (A5) was left out: no step of split S has boxes."]
    assert made.data == {"questions": [], "cards": []}


def test_a_run_without_attention_says_so(run_dir):
    for name in ("gaze.csv", "groups.csv", "looking.json"):
        (run_dir / "results" / name).unlink()
    (note,) = looking_section(read_run(run_dir)).blocks
    assert isinstance(note, Note)
    assert "gaze.csv was not written by this run" in note.text


def test_odd_pictures_are_not_read(run_dir):
    file = run_dir / "results" / "looking.json"
    looking = json.loads(file.read_text())
    looking["questions"][0]["image"] = "../../etc/passwd"
    looking["cards"] = "none"
    file.write_text(json.dumps(looking))
    made = looking_section(read_run(run_dir))
    assert made.data["questions"][0]["image"] == ""
    assert made.data["cards"] == []
