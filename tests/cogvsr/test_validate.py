import json
import resource
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headatlas.cogvsr import CogVSR
from headatlas.cogvsr.validate import Checked, Fault, validate
from headatlas.errors import HeadAtlasError

from .conftest import make_question


def record(i: int = 0, **changes) -> dict:
    question = json.loads(make_question(i).model_dump_json(exclude={"images"}))
    return {**question, "images": [], **changes}


def step(**changes) -> dict:
    return {"text": "t", "answer": "yes", "answer_type": "yes_no", "functions": ["decision_making"], **changes}


@pytest.fixture
def faults(tmp_path):
    def run(*records: dict | str) -> list[Fault]:
        lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
        (tmp_path / "q.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
        return list(validate(tmp_path / "q.jsonl"))

    return run


def test_a_good_dataset_has_none(questions, tmp_path):
    CogVSR.from_questions(questions[:2], tmp_path / "data")
    counted = Checked()
    assert list(validate(tmp_path / "data", counted)) == []
    assert counted == Checked(questions=2, faults=0)


def test_html_is_text_like_any_other(faults):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    steps = [step(text=hostile), step()]
    assert faults(record(text=hostile, family=hostile, steps=steps, answer="yes", scene=hostile)) == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"steps": []}, "steps", "at least 1 item"),
        ({"answer": "no"}, "", "the last step's answer must be the question's, 'no', got 'yes'"),
        ({"split": "X"}, "split", "got 'X'"),
        ({"color": "red"}, "color", "Extra inputs"),
        ({"text": ""}, "text", "at least 1 character"),
        ({"text": 5}, "text", "valid string, got 5"),
        ({"text": "   "}, "text", "only spaces"),
        ({"text": "a\0b"}, "text", "null character"),
        ({"text": "x" * 200_000}, "text", "200,000 characters long"),
        ({"steps": [step(functions=["telepathy"])]}, "steps.0.functions", "cognitive function must be one of"),
        ({"steps": [step(answer="maybe"), step()]}, "steps.0.answer", "must be 'yes' or 'no', got 'maybe'"),
        (
            {"steps": [step(answer="two", answer_type="number"), step()]},
            "steps.0.answer",
            "must be a number, got 'two'",
        ),
        (
            {"steps": [step(answer="nan", answer_type="text"), step()]},
            "steps.0.answer",
            "must be an answer, got 'nan'",
        ),
        (
            {"steps": [step(answer="up", answer_type="choice", options=["left", "right"]), step()]},
            "steps.0.answer",
            "must be one of 'left', 'right', got 'up'",
        ),
        ({"steps": [step(answer="up", answer_type="choice"), step()]}, "steps.0.options", "a choice without options"),
        (
            {"objects": [{"id": 0, "cls": "dog", "visible": float("nan")}]},
            "objects.0.visible",
            "must be a number, got nan",
        ),
        (
            {"objects": [{"id": 0, "cls": "dog", "box": {"x0": 0, "y0": 0, "x1": float("inf"), "y1": 1}}]},
            "objects.0.box.x1",
            "must be a number, got inf",
        ),
        ({"pair": "nobody", "pair_kind": "swap"}, "pair", "no question 'nobody'"),
        ({"images": "a.png"}, "images", "must be a list of paths"),
        ({"images": [3]}, "images.0", "must be a path, got 3"),
        ({"images": ["../../etc/passwd"]}, "images.0", "leads out of the dataset's folder"),
        ({"images": ["/etc/passwd"]}, "images.0", "the absolute '/etc/passwd'"),
        ({"images": ["C:\\x.png"]}, "images.0", "the absolute"),
        ({"images": ["a\\..\\..\\x.png"]}, "images.0", "leads out"),
        ({"images": ["gone.png"]}, "images.0", "'gone.png' is not there"),
    ],
)
def test_each_fault_is_one_line_with_its_field(faults, changes, field, message):
    found = faults(record(0), record(1, **changes))
    assert [fault.field for fault in found] == [field]
    assert message in found[0].message
    assert found[0].where == "q.jsonl:2"
    assert "\n" not in str(found[0])


def test_lines_that_are_no_records(faults):
    found = faults(
        record(0), "{", "[1]", '{"id": "a", "id": "b"}', "[" * 5000, '{"text": "\ud800"}', f'{{"id": {"9" * 6000}}}'
    )
    messages = {fault.where: fault.message for fault in reversed(found)}
    assert messages["q.jsonl:2"].startswith("not JSON")
    assert messages["q.jsonl:3"] == "must be an object with a question's fields, got [1]"
    assert messages["q.jsonl:4"] == "stands twice in one object"
    assert messages["q.jsonl:5"].startswith("not JSON")
    assert "q.jsonl:6" in messages
    assert "q.jsonl:7" in messages
    assert all(str(fault).isprintable() for fault in found)


def test_control_characters_never_reach_the_terminal(faults):
    (fault,) = faults(record(split="\x1b[2J\x07"), record(1))
    assert "\x1b" not in str(fault)
    assert "\\x1b" in str(fault)


def test_what_must_hold_between_questions(faults, tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "b.png")
    found = faults(
        record(0, images=["a.png"]),
        record(0, scene="other"),
        record(2, split="E", images=["b.png"]),
        record(3, split="E", scene="s0"),
    )
    assert [(fault.where, fault.field) for fault in found] == [
        ("q.jsonl:2", "id"),
        ("q.jsonl:3", "images"),
        ("q.jsonl:4", "scene"),
    ]
    assert found[1].message == "the same image is in split E here and in split P in q.jsonl:1"


def test_pictures_that_are_not_what_they_seem(faults, tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.effect_noise((200, 200), 90).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    names = ["whole", "bomb", "half", "text", "empty", "link"]
    found = faults(record(images=[f"{name}.png" for name in names]))
    assert [fault.field for fault in found] == [f"images.{i}" for i in range(1, 6)]
    for fault, message in zip(
        found, ["400000000 pixels", "broken image", "not an image", "not an image", "link"], strict=True
    ):
        assert message in fault.message, fault


def test_a_gigabyte_in_one_line_takes_little_memory(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(record(0)).encode() + b'\n{"id": "')
        file.seek(2**30, 1)  # a hole: a gigabyte of null characters that takes no disk
        file.write(b'"}\n' + json.dumps(record(1)).encode() + b"\n")
    code = (
        "import sys; from headatlas.cogvsr.validate import validate, Checked\n"
        "c = Checked(); print([str(f) for f in validate(sys.argv[1], c)], c.questions)"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (900 * 2**20, 900 * 2**20))

    said = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert said.returncode == 0, said.stderr[-500:]
    assert "long.jsonl:2: 1,073,741,8" in said.stdout
    assert said.stdout.strip().endswith("2")


def test_parquet_rows_are_checked_like_lines(questions, tmp_path):
    CogVSR.from_questions([make_question(i, image_split) for i, image_split in enumerate("PPP")], tmp_path / "d")
    table = pq.read_table(tmp_path / "d" / "questions-00000.parquet").to_pylist()
    table[1]["answer_type"] = "essay"
    table[2]["images"] = [{"bytes": b"no picture", "path": None}, {"bytes": None, "path": "/etc/passwd"}]
    table[2]["objects"][0]["visible"] = float("nan")
    schema = pq.read_schema(tmp_path / "d" / "questions-00000.parquet")
    pq.write_table(pa.Table.from_pylist(table, schema=schema), tmp_path / "d" / "questions-00000.parquet")
    found = list(validate(tmp_path / "d"))
    assert [(fault.where.split(":")[1], fault.field) for fault in found] == [
        ("1", "answer_type"),
        ("2", "objects.0.visible"),
        ("2", "images.0"),
        ("2", "images.1"),
    ]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    assert "not a readable Parquet" in next(validate(tmp_path / "bad.parquet")).message
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "lean.parquet")
    assert "no column text" in next(validate(tmp_path / "lean.parquet")).message


def test_nothing_to_check_is_an_error(tmp_path):
    for path, message in (
        (tmp_path / "no", "no such file"),
        (tmp_path, "found none"),
        (tmp_path / "a.txt", "must be a .jsonl"),
    ):
        if path.suffix:
            path.write_text("")
        with pytest.raises(HeadAtlasError, match=message):
            list(validate(path))
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert [fault.message for fault in validate(tmp_path / "empty.jsonl")] == ["no valid question in it"]


def test_a_fault_is_one_printable_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"\\u001b]0;x\\u0007\\n": 1, "\\u001b]0;x\\u0007\\n": 2}\n')
    (tmp_path / "b.jsonl").write_text(json.dumps(record(0) | {"x" * 5000: 1}) + "\n")
    assert max(len(str(fault)) for fault in validate(tmp_path / "b.jsonl")) < 700
    found = [str(fault) for fault in validate(tmp_path / "a.jsonl")]
    assert any("stands twice" in line for line in found)
    assert all(line.isprintable() for line in found)
