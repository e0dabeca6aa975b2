"""2,000 records, each valid but for one to three odd values: read as they say, or left out by name; none is lost.

Each case is read in one of five ways: own questions as JSON lines, CSV, Parquet or rows in memory, or as the dataset stores them.
"""

from __future__ import annotations

import copy
import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headatlas.cogvsr import CogVSR, Question, from_rows, load
from headatlas.cogvsr.validate import validate
from headatlas.errors import HeadAtlasError
from headatlas.importing import import_dataset

from .conftest import one_line

CASES = 2000
EVERY_TIME = 25

WAYS = ("jsonl", "csv", "rows", "dataset", "parquet")
F = "spatial_perception"
STEP = {"question": "Where is the cup?", "answer": "left", "options": ["left", "right"], "function": F}
LAST = {"question": "So?", "answer": "yes", "function": "decision_making"}
OWN: list[dict[str, Any]] = [
    {"id": "a", "image": "0.png", "question": "Is the cup left of the plate?", "answer": "yes", "function": F},
    {"id": "b", "image": "1.png", "question": "How many cups are there?", "answer": 3, "function": "math_reasoning"},
    {"id": "c", "image": "2.png", "question": "Where is the cup?", "answer": "left", "options": ["left", "right"], "function": F},
    {"id": "d", "image": "3.png", "question": "Is the cup red?", "answer": "yes", "function": F, "steps": [STEP, LAST]},
    {"id": "e", "image": "4.png", "question": "What is it?", "answer": "a cup", "function": F, "type": "names", "scene": "s",
     "boxes": [[0.1, 0.2, 0.5, 0.75]], "objects": [{"name": "cup", "box": [0, 0, 0.5, 1]}]},
]  # fmt: skip
ODD: list[Any] = [
    None, 0, 1, -1, 3, 10**30, 1.5, 1e308, float("nan"), float("inf"), True, False, "", " ", "x", "A", "B", "yes", "no", "No.",
    "Left", "3 cups", "-0", "007", "1e3", "null", "nan", "\ud800", "a\0b", "\x1b[31m", "\u202ey\u200b", "a\nb", "[", "[]", "{}",
    "[1, 2]", '["a", "b"]', "a|b", "../../x", "/etc/passwd", "~/x", "http://127.0.0.1:9/x.png", "data:image/png;base64,AA",
    "1.png", "9.png", "y" * 120_000, [], {}, [[]], [None], [1, 2, 3, 4], [0, 0, 1, 1], [[0, 0, 1, 1]], [0.9, 0.9, 0.1, 0.1],
    ["a", 1], ["left", "left"], ["yes", "no"], [{}], {"a": 1}, {"A": "left", "B": "right"}, [STEP], [LAST], -(2**63) - 1,
]  # fmt: skip
NAMES = ("image", "question", "answer", "options", "function", "scene", "type", "id", "split", "boxes", "objects", "steps",
         "hint", "answer_type", "images", "text", "choices", "label", "index", "target", "A", "B", "\n", "__class__",
         "x" * 3000)  # fmt: skip


def mutated(record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The record with one to three things changed, deeper ones among them."""
    record = json.loads(json.dumps(record))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place: Any = record
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], (dict, list)) and rng.random() < 0.6:
                place = place[key]
                continue
            change = rng.random()
            if change < 0.15:
                del place[key]
            elif change < 0.3 and isinstance(place, dict):
                place[rng.choice(NAMES)] = copy.deepcopy(rng.choice(ODD))
            elif change < 0.4 and isinstance(place[key], str):
                place[key] = typed(place[key], rng)
            else:
                place[key] = copy.deepcopy(rng.choice(ODD))
            break
    return record


def typed(text: str, rng: random.Random) -> str:
    """The text with one character lost, doubled or replaced."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(("", text[at : at + 1] * 2, "\u0301", "\t", '"', ",", "\u00a0", "Z")) + text[at + 1 :]


def pictures(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(5):
        Image.new("RGB", (8, 8), (40 * i, 90, 200)).save(folder / f"{i}.png")


def content(data: CogVSR) -> dict[str, tuple[dict[str, Any], list[bytes]]]:
    """Every question by its id, without the split and scene that are dealt to own questions."""
    return {
        q.id: (q.model_dump(exclude={"images", "split", "scene"}), [image.tobytes() for image in q.images])
        for q in data
    }


def write(records: list[dict[str, Any]], way: str, folder: Path) -> Path:
    path = folder / f"x.{'jsonl' if way == 'dataset' else way}"
    if way == "csv":
        names = list(dict.fromkeys(name for record in records for name in record))
        with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            table = csv.writer(file)
            table.writerow(names)
            for record in records:
                table.writerow([cell(record.get(name, "")) for name in names])
    elif way == "parquet":
        names = list(dict.fromkeys(name for record in records for name in record))
        cells = {name: [record.get(name) for record in records] for name in names}
        pq.write_table(pa.table({name: column(values) for name, values in cells.items()}), path)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else "" if value is None else value


def column(values: list[Any]) -> pa.Array:
    """A column as it is, or as JSON text where its values are of several types."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return pa.array(
            [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values], pa.string()
        )


def read(records: list[dict[str, Any]], way: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What is read, and the lines on what is not; an error is the only line."""
    if way == "rows":
        rows = [
            {**r, "image": str(folder / r["image"])}
            if isinstance(r.get("image"), str) and r["image"][1:] == ".png"
            else r
            for r in records
        ]
        return content(from_rows(rows)), []
    try:
        path = write(records, way, folder)
    except (pa.ArrowException, UnicodeError):
        pytest.skip("this way cannot hold the value")
    if way == "dataset":
        return content(load(path)), []
    report = import_dataset("own", path, folder / "out", n=None, download=False)
    lines = [one_line(str(one)) for one in (*report.left_out, *report.missing)]
    data = content(load(folder / "out"))
    assert report.questions == len(data)
    assert len(data) + len(lines) == len(records), "a record is lost"
    return data, lines


def as_dataset(record: dict[str, Any]) -> dict[str, Any]:
    """An own record in the form of the dataset."""
    whole = {"text": "What is the answer?", "answer": str(record["answer"]), "answer_type": "text", "functions": [F]}
    box = {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.75}
    return {
        "id": record["id"], "source": "hand", "split": "E", "scene": record["id"], "images": [record["image"]],
        "text": record["question"], "answer": whole["answer"], "answer_type": "text", "options": [],
        "steps": [{**whole, "answer": "2", "answer_type": "number", "boxes": [box]}, whole],
        "objects": [{"id": 0, "cls": "cup", "box": box, "visible": 1.0}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What each way reads of the valid records."""
    found = {}
    for way in WAYS:
        folder = tmp_path_factory.mktemp(way)
        pictures(folder)
        found[way] = read(valid(way), way, folder)[0]
        assert len(found[way]) == len(OWN)
    return found


def valid(way: str) -> list[dict[str, Any]]:
    return [as_dataset(record) for record in OWN] if way == "dataset" else OWN


def test_a_record_is_read_as_it_says_or_left_out_by_name(case, plain, tmp_path):
    rng = random.Random(case)
    way = WAYS[case % len(WAYS)]
    records = list(valid(way))
    at = rng.randrange(len(records))
    records[at] = mutated(records[at], rng)
    pictures(tmp_path)
    try:
        found, lines = read(records, way, tmp_path)
    except HeadAtlasError as error:
        line = one_line(error)
        assert (
            way in ("rows", "dataset") or "functions" in line or "share a picture" in line or "cannot be read" in line
        ), line
        if way == "dataset":
            assert [one_line(str(fault)) for fault in validate(tmp_path / "x.jsonl")], f"validate finds nothing: {line}"
        return
    others = [record["id"] for record in records if record is not records[at]]
    for name in others:
        if found.get(name) != plain[way][name]:
            twice = name in (records[at].get("id"), records[at].get("index"))
            assert twice or any(name in line for line in lines), f"{name} is another: {found.get(name)}"
    new = [name for name in found if name not in others]
    assert len(new) == 1 or lines, "a record is lost"
    if new:
        faithful(records[at], found[new[0]][0], way)
    same_in_other_ways(records, way, found, lines, tmp_path)


def faithful(record: dict[str, Any], question: dict[str, Any], way: str) -> None:
    """What is stored says what the record says."""
    Question.model_validate({**question, "split": "E"})
    json.dumps(question, allow_nan=False)
    if way == "dataset":
        for name in ("id", "text", "answer", "answer_type", "source"):
            assert question[name] == record.get(name, "file"), name  # only `source` may be left out
        assert len(question["steps"]) == len(record["steps"])
        return
    if _is_text(record.get("question")) and not record.get("hint"):
        assert question["text"].startswith(record["question"].strip()), question["text"]
    if _is_text(record.get("id")):
        assert question["id"] == record["id"].strip()
    function = record.get("function")
    if (
        isinstance(function, str)
        and function.isascii()
        and function.islower()
        and not record.get("functions")
        and not record.get("steps")
    ):
        assert question["steps"][0]["functions"] == (function,), function
    if isinstance(record.get("boxes"), list) and record["boxes"] and not record.get("steps"):
        boxes = record["boxes"] if isinstance(record["boxes"][0], (list, dict)) else [record["boxes"]]
        stored = [[box["x0"], box["y0"], box["x1"], box["y1"]] for box in question["steps"][0]["boxes"]]
        assert stored == [[float(corner) for corner in box] for box in boxes]
    answer = record.get("answer")
    if _is_text(answer) and not answer.lstrip().startswith("["):
        says, stored, options = answer.strip().strip(".").casefold(), question["answer"].casefold(), question["options"]
        place = ("a", "b").index(says) if says in ("a", "b") and len(options) > 1 else None
        assert (
            says in (stored, stored.strip("."))
            or (place is not None and stored == options[place].casefold())
            or {"true": "yes", "false": "no"}.get(says) == stored
            or (question["answer_type"] == "number" and says.startswith(stored))
        ), (answer, question["answer"])
    elif isinstance(answer, (int, float)) and not isinstance(answer, bool) and way != "csv":
        assert math.isclose(float(question["answer"]), answer), (answer, question["answer"])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def same_in_other_ways(
    records: list[dict[str, Any]], way: str, found: dict[str, Any], lines: list[str], folder: Path
) -> None:
    """What JSON lines say, the same rows say in memory and, where they hold texts and lists only, in a table."""
    images = [
        one  # numbers as names, and addresses, are for files only
        for record in records
        for one in (record["image"] if isinstance(record.get("image"), list) else [record.get("image")])
    ]
    if (
        lines
        or way != "jsonl"
        or any(not isinstance(one, str) or one.startswith(("http", "data:", "[")) for one in images)
    ):
        return
    assert read(records, "rows", folder)[0] == found
    plain = all(
        _is_text(v) or (isinstance(v, list) and v) or (isinstance(v, int) and v is not True)
        for r in records
        for v in r.values()
    )
    if plain and len({tuple(r) for r in records}) <= len(records):
        (folder / "again").mkdir()
        pictures(folder / "again")
        assert read(records, "csv", folder / "again") == (found, [])
