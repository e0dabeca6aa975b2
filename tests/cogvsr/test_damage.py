"""Damaged and hostile files: every outcome is a `HeadAtlasError` of one line, or exactly what was written."""

import json
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headatlas.cogvsr import CogVSR, load, rows
from headatlas.cogvsr.validate import validate
from headatlas.errors import HeadAtlasError

from .conftest import make_question


def content(data: CogVSR) -> list[tuple]:
    return [(q.model_dump_json(exclude={"images"}), [image.tobytes() for image in q.images]) for q in data]


def outcome(path) -> list[tuple] | str:
    """The questions, or the line of the error."""
    try:
        found = content(load(path))
    except HeadAtlasError as error:
        found = str(error)
        assert "\n" not in found
        assert len(found) < 1000
    for fault in validate(path):
        assert str(fault).isprintable()
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset's bytes, its content and a table without our checksums."""
    folder = tmp_path_factory.mktemp("written") / "data"
    data = CogVSR.from_questions([make_question(i, split) for i, split in enumerate("PST")], folder)
    (file,) = folder.iterdir()
    return file.read_bytes(), content(data)


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    how = rng.choice(["cut", "bit", "bits", "footer", "zeros", "more"])
    at = rng.randrange(len(data))
    if how == "cut":
        del changed[at:]
    elif how == "bit":
        changed[at] ^= 1 << rng.randrange(8)
    elif how == "bits":
        for _ in range(20):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "footer":
        changed[rng.randrange(footer, len(data))] = rng.randrange(256)
    elif how == "zeros":
        changed[at : at + 500] = bytes(len(changed[at : at + 500]))
    else:
        changed[at:at] = rng.randbytes(7)
    return bytes(changed)


def test_damaged_parquet_is_refused_or_read_as_it_was_written(written, tmp_path):
    data, expected = written
    rng = random.Random(0)
    for number in range(30):
        (tmp_path / "x.parquet").write_bytes(damaged(data, rng))
        found = outcome(tmp_path / "x.parquet")
        assert isinstance(found, str) or (found == expected) is True, number


def test_a_changed_byte_of_stored_text_is_found(tmp_path):
    """Without a checksum, a flipped bit in an answer would give another answer."""
    text, found, at = b"Zq7 vX9 wK3", [], -1  # nothing that compression could take from elsewhere
    made = CogVSR.from_questions([make_question(0, text=text.decode())], tmp_path / "data")
    data, expected = next((tmp_path / "data").iterdir()).read_bytes(), content(made)
    while (at := data.find(text, at + 1)) >= 0:  # in pages, and in the smallest and largest value that a footer names
        changed = bytearray(data)
        changed[at + 4] ^= 1
        (tmp_path / "x.parquet").write_bytes(changed)
        found.append(outcome(tmp_path / "x.parquet"))
    assert any("not a readable Parquet file" in one for one in found if isinstance(one, str))
    assert all(isinstance(one, str) or (one == expected) is True for one in found)


@pytest.mark.parametrize("column", list(rows.FEATURES.arrow_schema.names))
def test_columns_of_other_types_are_refused_or_named(column, tmp_path):
    values = [None, 1, 1.5, "x", [], [None], [1], ["x"], {"a": 1}, True, b"\xff", [[1]], [{"a": None}]]
    good = [rows.to_row(make_question(i)) for i in range(2)]
    for value in values:
        columns = {name: [row[name] for row in good] for name in good[0]}
        columns[column] = [value] * 2
        pq.write_table(pa.table({name: pa.array(cells) for name, cells in columns.items()}), tmp_path / "x.parquet")
        outcome(tmp_path / "x.parquet")


VALUES = [
    None, 0, 10**30, 1.5, float("nan"), float("inf"), "x", "", "\ud800", "a\0b", "\x1b[31m", [], {}, [[]], {"a": 1}, True,
    "y" * 200_000, [None], ["a", 1], [{}], "../../x", -(2**63) - 1,
]  # fmt: skip


def mutated(value, rng: random.Random):
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        value[key] = mutated(value[key], rng) if rng.random() < 0.4 else rng.choice(VALUES)
        if rng.random() < 0.1:
            value[rng.choice(["new", "\n", "__class__", "x" * 5000])] = rng.choice(VALUES)
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        value[place] = mutated(value[place], rng)
        return value
    return rng.choice(VALUES)


def test_odd_records_are_refused_by_name_or_read_and_none_is_lost(tmp_path):
    plain = [json.loads(make_question(i).model_dump_json(exclude={"images"})) for i in range(3)]
    rng = random.Random(0)
    for _ in range(120):
        records = json.loads(json.dumps(plain))
        records[1] = mutated(records[1], rng)
        (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, records)))
        found = outcome(tmp_path / "x.jsonl")
        assert isinstance(found, str) or len(found) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested too deeply"),
        (b'{"id": "a", "id": "b"}', "the key 'id' stands twice in one object"),
        (b'{"id": "a"', "not JSON"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b"x" * (17 * 2**20), "a line must have at most"),
    ],
    ids=["lists", "objects", "twice", "cut", "UTF-8", "digits", "long"],
)
def test_lines_that_are_no_records(line, message, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(line + b"\n")
    assert message in outcome(tmp_path / "x.jsonl")
    assert "line 1" in outcome(tmp_path / "x.jsonl")


def test_pipes_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jsonl")
    os.mkfifo(tmp_path / "x.parquet")
    (tmp_path / "folder.parquet").mkdir()
    for name in ("x.jsonl", "x.parquet", "folder.parquet"):
        with pytest.raises(HeadAtlasError):
            load(tmp_path / name)


def test_a_dataset_whose_exchange_was_cut_off_is_found(written, tmp_path):
    old = tmp_path / ".data.headatlas-old"
    old.mkdir()
    (old / "questions-00000.parquet").write_bytes(written[0])
    assert content(load(tmp_path / "data")) == written[1]


def test_a_folder_that_lost_one_of_its_files_is_refused(written, tmp_path):
    """Fewer questions would be read otherwise, without a word."""
    for i in range(3):
        CogVSR.from_questions([make_question(i)], tmp_path / str(i))
    (tmp_path / "data").mkdir()
    for i in range(3):
        next((tmp_path / str(i)).iterdir()).rename(tmp_path / "data" / f"questions-{i:05d}.parquet")
    assert len(load(tmp_path / "data")) == 3
    (tmp_path / "data" / "questions-00001.parquet").unlink()
    assert "questions-00001.parquet is missing" in outcome(tmp_path / "data")
    assert any("questions-00001.parquet is missing" in str(fault) for fault in validate(tmp_path / "data"))


def test_a_damaged_page_names_its_file(written, tmp_path):
    data = bytearray(written[0])
    data[400:1000] = bytes(600)
    (tmp_path / "x.parquet").write_bytes(data)
    assert "x.parquet: not a readable Parquet file" in outcome(tmp_path / "x.parquet")
