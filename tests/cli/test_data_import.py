import json

from command_line import headatlas

from headatlas.cogvsr import load
from headatlas.importing import IMPORTERS

from ..cogvsr.conftest import make_question


def run(*arguments: object, code: int = 0):
    return headatlas("data", *arguments, code=code)


def write(folder):
    folder.mkdir()
    rows = [
        {"image": f"{i}.png", "question": f"Where is cup {i}?", "options": ["left of", "right of"], "answer": "left of"}
        for i in range(8)
    ]
    (folder / "all.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, {**rows[0], "answer": "up"}]))
    for i in range(7):
        make_question(0).images[0].resize((10 + i, 10)).save(folder / f"{i}.png")
    return folder


def test_import_validate_export(tmp_path):
    folder = write(tmp_path / "set")
    said = run("import", "spatialmqa", "--from", folder, "--n", 20, "--out", tmp_path / "data")
    assert said.stdout.startswith("7 questions of SpatialMQA (P 1, S 2, T 1, E 3)")
    assert "20 questions were requested, but the set has only 7 usable ones" in said.stderr
    assert "1 images missing or broken" in said.stderr
    assert "1 records left out" in said.stderr
    assert "all.jsonl, line 9: the answer must be one of the options" in said.stderr
    report = json.loads(run("import", "spatialmqa", "--from", folder, "--out", tmp_path / "data", "--json").stdout)
    assert report["questions"] == 7
    assert run("validate", tmp_path / "data").stdout == ""
    assert (
        run("export", tmp_path / "data", "--format", "jsonl", "--out", tmp_path / "lines")
        .stdout.strip()
        .endswith("lines")
    )
    assert load(tmp_path / "lines" / "questions.jsonl").fingerprint == load(tmp_path / "data").fingerprint


def test_faults_are_printed_and_the_exit_code_says_so(tmp_path):
    question = json.loads(make_question(0).model_dump_json(exclude={"images"}))
    rows = [{**question, "split": "X"}, {**question, "text": ""}]
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    said = run("validate", tmp_path / "q.jsonl", code=1)
    assert said.stdout.splitlines()[0].startswith("q.jsonl:1: field split: ")
    assert said.stdout.splitlines()[1].startswith("q.jsonl:2: field text: ")
    assert "0 valid questions, 3 faults" in said.stderr
    first = json.loads(run("validate", tmp_path / "q.jsonl", "--json", "--most", 1, code=1).stdout)
    assert (first["where"], first["field"]) == ("q.jsonl:1", "split")


def test_where_the_steps_come_from_is_told(tmp_path):
    """For a set that gives its steps, the output does not mention a layout."""
    steps = [
        {"subquestion": "How many pens has Tom?", "answer": 3, "cognitive_skill": "Retrieval"},
        {"subquestion": "How many is 3 + 4?", "answer": 7, "cognitive_skill": "Math Calculation"},
    ]
    (tmp_path / "qa.json").write_text(json.dumps([{"question": "Tom has 3 pens and buys 4.", "generated": steps}]))
    said = run("import", "cogqa", "--from", tmp_path / "qa.json", "--out", tmp_path / "qa").stdout
    assert said.rstrip().endswith("steps of 1 as in the set")
    write(tmp_path / "set")
    said = run("import", "spatialmqa", "--from", tmp_path / "set", "--out", tmp_path / "data").stdout
    assert said.rstrip().endswith("one step each, not decomposed")


def test_importers_are_listed():
    known = json.loads(run("importers", "--json").stdout)
    assert {one["name"] for one in known} == set(IMPORTERS)
    assert "nlvr" in run("importers").stdout
