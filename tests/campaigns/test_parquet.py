"""400 damaged Parquet files: one line that names the file, or exactly what was written."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headatlas.cogvsr import CogVSR, Question, Step, load, rows
from headatlas.cogvsr.validate import validate
from headatlas.errors import HeadAtlasError
from headatlas.importing import import_dataset
from headatlas.pictures import encode

from .conftest import one_line
from .damage import bytes_changed

CASES = 400
EVERY_TIME = 25


def question(i: int) -> Question:
    picture = Image.new("RGB", (16, 16), (i * 9 % 256, 80, 200))
    step = Step(text="How many?", answer=str(i), answer_type="number", functions=("spatial_perception",))
    last = Step(text="So?", answer="yes", answer_type="yes_no", functions=("decision_making",))
    return Question(
        id=f"q{i}", source="hand", split="E", scene=f"s{i}", images=(picture,), text=f"Is the cup left of plate {i}?",
        options=("yes", "no"), answer="yes", answer_type="yes_no", steps=(step, last),
    )  # fmt: skip


def content(data: CogVSR) -> list[tuple]:
    return [(q.model_dump_json(exclude={"images"}), [image.tobytes() for image in q.images]) for q in data]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset of HeadAtlas, a Parquet file of the same columns by pyarrow, and one of own questions; and the content."""
    folder = tmp_path_factory.mktemp("written")
    data = CogVSR.from_questions([question(i) for i in range(20)], folder / "sealed")
    table = pa.Table.from_pylist([rows.to_row(question(i)) for i in range(20)], schema=rows.FEATURES.arrow_schema)
    (folder / "plain").mkdir()
    pq.write_table(table, folder / "plain" / "questions-00000.parquet", row_group_size=7)
    (folder / "own").mkdir()
    own = [
        {
            "id": f"q{i}",
            "image": {"bytes": encode(question(i).images[0]), "path": None},
            "question": "Is it red?",
            "answer": "yes",
        }
        for i in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(own), folder / "own" / "own.parquet", row_group_size=7)
    return folder, content(data)


VALUES = (
    None,
    1,
    1.5,
    "x",
    "",
    [],
    [None],
    [1],
    ["x"],
    {"a": 1},
    True,
    b"\xff",
    [[1]],
    [{"a": None}],
    {"bytes": b"x", "path": None},
)


def other_type(table: pa.Table, rng: random.Random) -> pa.Table:
    at = rng.randrange(table.num_columns)
    return table.set_column(at, table.column_names[at], pa.array([rng.choice(VALUES)] * len(table)))


def cast(table: pa.Table, rng: random.Random) -> pa.Table:
    """The same values in another type of Arrow."""
    at = rng.randrange(table.num_columns)
    column, kind = table.column(at), table.schema.field(at).type
    if pa.types.is_string(kind):
        column = column.cast(pa.large_string()) if rng.random() < 0.5 else column.dictionary_encode()
    elif pa.types.is_list(kind):
        column = column.cast(pa.large_list(kind.value_type))
    return table.set_column(at, table.column_names[at], column)


def swapped(table: pa.Table, rng: random.Random) -> pa.Table:
    """Two columns under one another's name."""
    names = list(table.column_names)
    a, b = rng.sample(range(len(names)), 2)
    names[a], names[b] = names[b], names[a]
    return table.rename_columns(names)


def nulls(table: pa.Table, rng: random.Random) -> pa.Table:
    at = rng.randrange(table.num_columns)
    values = table.column(at).to_pylist()
    for i in rng.sample(range(len(values)), rng.choice((1, len(values)))):
        values[i] = None
    return table.set_column(at, table.column_names[at], pa.array(values, table.schema.field(at).type))


def ordered(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.select(rng.sample(table.column_names, table.num_columns))


def fewer(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.drop_columns(rng.choice(table.column_names))


def more(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(("new", "question", "image", "\x1b[31m", "", table.column_names[0]))
    return table.append_column(name, pa.array([rng.choice(VALUES)] * len(table)))


def none(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.slice(0, 0)


def twice(table: pa.Table, rng: random.Random) -> pa.Table:
    return pa.concat_tables([table, table.slice(rng.randrange(len(table)), 1)])


REWRITTEN: tuple[Callable[[pa.Table, random.Random], pa.Table], ...] = (
    other_type, other_type, other_type, cast, swapped, swapped, nulls, nulls, ordered, fewer, more, none, twice,
)  # fmt: skip
SAME = (cast, ordered)
"""Changes after which the content is the same, if it can be read."""


def around(folder: Path, rng: random.Random) -> None:
    """Change what is in the folder, not the file in it."""
    (file,) = folder.glob("*.parquet")
    how = rng.choice(("second", "renamed", "empty", "link", "gap", "torn"))
    if how == "second":
        pq.write_table(pa.table({"id": [1, 2]}), folder / "more.parquet")
    elif how == "renamed":
        file.rename(folder / "questions-00000.jsonl")
    elif how == "empty":
        (folder / "questions-00001.parquet").touch()
    elif how == "link":
        (folder / "questions-00001.parquet").symlink_to(folder / "nowhere")
    elif how == "gap":
        file.rename(folder / "questions-00001.parquet")
    else:
        (folder / "questions-00001.parquet").write_bytes(file.read_bytes()[:1000])


def outcome(folder: Path, own: bool, out: Path) -> list[tuple] | str:
    """The content, or the line of the error."""
    try:
        if own:
            report = import_dataset("own", folder, out, n=None, download=False)
            left = [one_line(str(one)) for one in (*report.left_out, *report.missing)]
            found = content(load(out))
            assert len(found) + len(left) == report.questions + len(left)
            return [*found, *((line, []) for line in left)]
        return content(load(folder))
    except HeadAtlasError as error:
        return one_line(error)


def test_a_damaged_file_is_refused_or_read_as_it_was_written(case, written, tmp_path):
    source, expected = written
    rng = random.Random(case)
    kind = ("sealed", "sealed", "plain", "own")[case % 4]
    folder = Path(shutil.copytree(source / kind, tmp_path / "data"))
    (file,) = folder.iterdir()
    same = False
    how = rng.random()
    if how < 0.55:
        file.write_bytes(bytes_changed(file.read_bytes(), rng))
        same = kind == "sealed"
    elif how < 0.9:
        change = rng.choice(REWRITTEN)
        same = change in SAME and kind != "own"
        pq.write_table(change(pq.read_table(file), rng), file)
    else:
        around(folder, rng)
        same = kind == "sealed"
    found = outcome(folder, kind == "own", tmp_path / "out")
    assert isinstance(found, str) or not same or (found == expected) is True, "another content, and not a word"
    if kind == "own":
        if not isinstance(found, str):
            assert len(found) >= 20 or how < 0.9, "a record is lost"
        return
    faults = []
    try:
        faults = [one_line(str(fault)) for fault in validate(folder)]
    except HeadAtlasError as error:
        faults = [one_line(error)]
    assert not isinstance(found, str) or faults, f"validate finds nothing: {found}"
