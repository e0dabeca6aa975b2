import json

import pytest
from command_line import headatlas

from headatlas.cogvsr import load
from headatlas.errors import HeadAtlasError


def run(*arguments):
    return headatlas("data", *arguments)


def test_build_then_stats_then_preview(tmp_path):
    out = tmp_path / "scenes"
    built = run("build", "--n", "4", "--seed", "5", "--out", out, "--json")
    facts = json.loads(built.stdout)
    assert facts["questions"] == 4
    assert "4/4" in built.stderr
    assert load(out).fingerprint == facts["fingerprint"] == load("scenes", n=4, seed=5).fingerprint

    counted = json.loads(run("stats", out, "--json").stdout)
    assert counted["all"]["questions"] == 4
    assert counted["fingerprint"] == facts["fingerprint"]
    table = run("stats", out).stdout
    assert "27.29%" in table
    assert "1,142" in table

    page = tmp_path / "page.html"
    assert run("preview", out, "--out", page, "--show", "2").stdout.strip() == str(page)
    assert page.read_text(encoding="utf-8").count("<article") == 2


def test_a_stored_dataset_is_written_anew(tmp_path):
    run("build", "-n", "2", "--splits", "P, E", "--out", tmp_path / "a")
    said = run("build", tmp_path / "a", "--out", tmp_path / "b").stdout
    assert said.startswith("2 questions (P 1, E 1)")
    assert load(tmp_path / "b").fingerprint == load(tmp_path / "a").fingerprint


def test_mistakes_reach_the_entry_as_one_line(tmp_path):
    with pytest.raises(HeadAtlasError, match="no such dataset"):
        run("stats", tmp_path / "nowhere")
    headatlas("data", "build", "--n", "0", "--out", "x", code=2)


def test_names_out_of_a_dataset_do_nothing_to_a_terminal(tmp_path):
    step = {"text": "Is it?", "answer": "yes", "answer_type": "yes_no", "functions": ["decision_making"]}
    family = "[/red] [link=x]y\x1b]0;title\x07"
    record = {"id": "a", "text": "Is it?", "answer": "yes", "answer_type": "yes_no", "steps": [step], "family": family}
    (tmp_path / "[red]x.jsonl").write_text(json.dumps(record))
    said = run("stats", tmp_path / "[red]x.jsonl").stdout
    assert "[red]x" in said
    assert "[/red] [link=x]y" in said
    assert "\x1b]" not in said
    assert "\x07" not in said
