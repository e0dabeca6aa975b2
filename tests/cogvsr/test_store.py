import io
import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headatlas.cogvsr import CogVSR, files, load, rows
from headatlas.cogvsr.sources import SOURCES, source
from headatlas.cogvsr.store import STEP_COLUMNS
from headatlas.errors import HeadAtlasError

from .conftest import make_question


def same(a, b) -> bool:
    plain = a.model_dump(exclude={"images"}) == b.model_dump(exclude={"images"})
    return plain and [np.asarray(i).tolist() for i in a.images] == [np.asarray(i).tolist() for i in b.images]


@pytest.fixture
def data(questions, tmp_path) -> CogVSR:
    return CogVSR.from_questions(iter(questions), tmp_path / "data")


def test_questions_come_back_from_parquet_equal_with_their_images(questions, data):
    assert len(data) == 5
    assert all(same(a, b) for a, b in zip(questions, data, strict=True))
    assert same(data[-1], questions[-1])
    assert data[0].objects[1].box is None
    with pytest.raises(IndexError):
        data[5]


def test_in_memory_saved_and_loaded_are_one_content(questions, data, tmp_path):
    memory = CogVSR.from_questions(questions)
    memory.save(tmp_path / "saved")
    loaded = load(tmp_path / "saved")
    assert memory.fingerprint == loaded.fingerprint == data.fingerprint
    assert all(same(a, b) for a, b in zip(memory, loaded, strict=True))
    other = CogVSR.from_questions([*questions[:-1], make_question(4, "E", images=())])
    assert other.fingerprint != memory.fingerprint


def test_saving_replaces_a_dataset_but_nothing_else(data, tmp_path):
    data.split("P").save(tmp_path / "again")
    data.save(tmp_path / "again")
    assert len(load(tmp_path / "again")) == 5
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(HeadAtlasError, match="holds other things"):
        data.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_many_questions_are_written_in_shards(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "_GROUP", 2)
    monkeypatch.setattr(files, "_SHARD", 4)
    held, most = 0, 0
    write = pq.ParquetWriter.write_table

    def written(self, table, *args, **kwargs):
        nonlocal held, most
        most, held = max(most, held), 0
        return write(self, table, *args, **kwargs)

    def made():
        nonlocal held
        for i in range(9):
            held += 1
            yield make_question(i)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", written)
    data = CogVSR.from_questions(made(), tmp_path / "d")
    assert most == 2  # questions alive between two writes
    assert data.ids == tuple(f"q{i}" for i in range(9))
    assert len(list((tmp_path / "d").glob("*.parquet"))) == 3


def test_large_row_groups_are_memory_mapped(questions, data, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "_GROUP_BYTES", 0)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    mapped = load(tmp_path / "data")
    assert mapped._table._data.cache_files
    assert mapped.fingerprint == data.fingerprint
    assert all(same(a, b) for a, b in zip(questions, mapped, strict=True))


def test_any_reader_of_datasets_sees_images(data, tmp_path):
    plain = datasets.Dataset.from_parquet(
        str(tmp_path / "data" / "questions-00000.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(plain, datasets.Dataset)
    assert plain[0]["images"][0].size == (96, 96)


def test_split_and_select(data):
    assert data.splits == {"P": 2, "S": 1, "T": 1, "E": 1}
    assert data.split("P").ids == ("q0", "q1")
    assert [q.id for q in data.select(["q3", "q1"])] == ["q3", "q1"]
    assert data.select(["q3", "q1"])[1].id == "q1"
    with pytest.raises(HeadAtlasError, match=r"split must be one of this dataset's, P \(2\)"):
        data.split("train")
    with pytest.raises(HeadAtlasError, match="no question 'q9'"):
        data.select(["q1", "q9"])


def test_with_steps_changes_steps_and_nothing_else(questions, data, tmp_path):
    last = questions[1].steps[-1:]
    changed = data.with_steps({"q3": questions[3].steps, "q1": last}, tmp_path / "changed")
    assert changed.ids == ("q1", "q3")
    assert changed[0].steps == last
    for before, after in zip(data.select(["q1", "q3"]), load(tmp_path / "changed"), strict=True):
        assert after.model_copy(update={"steps": before.steps, "images": ()}) == before.model_copy(
            update={"images": ()}
        )
        assert [i.tobytes() for i in after.images] == [i.tobytes() for i in before.images]
    with pytest.raises(HeadAtlasError, match="the last step's answer must be the question's, 'yes', got '2'"):
        data.with_steps({"q0": questions[0].steps[:1]}, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_steps_table(data):
    steps = data.steps()
    assert tuple(steps.columns) == STEP_COLUMNS
    assert len(steps) == 10
    assert steps.iloc[2].to_dict() == {
        "question": "q1",
        "step": 0,
        "n_steps": 2,
        "split": "P",
        "family": "counting",
        "scene": "s1",
        "source": "hand",
        "kind": "column_of",
        "function": "spatial_perception",
        "functions": "spatial_perception|low_level_perception",
        "answer_type": "number",
        "gold": "2",
        "text_of_step": "which column is the dog in?",
        "needs_image": True,
    }


def test_without_images_decodes_nothing(data, monkeypatch):
    monkeypatch.setattr("headatlas.cogvsr.rows._decode", lambda *a: pytest.fail("decoded"))
    assert [q.images for q in data.without_images()] == [()] * 5


def test_a_source_is_found_by_name_and_told_what_to_make():
    asked = []

    def hand(n, seed, splits):
        asked.append((n, seed, splits))
        return (make_question(i) for i in range(n))

    try:
        source("hand")(hand)
        assert len(load("hand", n=3, seed=7, splits=["P"])) == 3
    finally:
        SOURCES.remove("hand")
    assert asked == [(3, 7, ("P",))]
    assert "scenes" in SOURCES
    with pytest.raises(HeadAtlasError, match="n must be >= 1, got 0"):
        load("scenes", n=0)


def test_scenes_are_a_source():
    data = load("scenes", n=4, seed=3)
    assert data.splits == {"P": 1, "S": 1, "T": 1, "E": 1}
    assert data[0].images[0].size == (384, 384)
    assert load("scenes", n=4, seed=3).fingerprint == data.fingerprint
    with pytest.raises(HeadAtlasError, match="splits must be one or more of P, S, T, E, got 'Q'"):
        load("scenes", n=4, splits=("Q",))


def write_jsonl(folder: Path, *records: dict) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def record(**changes) -> dict:
    question = json.loads(make_question(0).model_dump_json(exclude={"images"}))
    return {**question, "images": ["pictures/a.png"], **changes}


@pytest.fixture
def picture(tmp_path) -> Path:
    (tmp_path / "pictures").mkdir()
    make_question(0).images[0].save(tmp_path / "pictures" / "a.png")
    return tmp_path / "pictures" / "a.png"


def test_json_lines_with_pictures_beside_them_become_parquet_with_pictures_inside(tmp_path, picture):
    data = load(write_jsonl(tmp_path, record(), record(id="q1", images=None)))
    assert same(data[0], make_question(0))
    assert data[1].images == ()
    data.save(tmp_path / "parquet")
    mark = data.fingerprint
    picture.unlink()
    assert load(tmp_path / "parquet").fingerprint == mark
    assert same(load(tmp_path / "parquet")[0], make_question(0))


def test_a_table_with_only_the_required_columns_is_enough(tmp_path):
    lean = [{k: v for k, v in record().items() if k in ("id", "text", "answer", "answer_type", "steps")}]
    pd.DataFrame(lean).to_parquet(tmp_path / "lean.parquet")
    data = load(tmp_path / "lean.parquet")
    assert (data[0].split, data[0].source, data[0].images) == ("E", "file", ())
    assert data.splits == {"E": 1}
    assert same(load(data.save(tmp_path / "whole"))[0], data[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": []}, "record 'q0', field steps"),
        ({"answer": "no"}, "the last step's answer must be the question's, 'no'"),
        ({"split": "X"}, "record 'q0', field split"),
        ({"color": "red"}, "record 'q0', field color: Extra inputs"),
        ({"images": "a.png"}, "record 'q0', field images: must be a list of paths"),
        (
            {"steps": [{"text": "t", "answer": "yes", "answer_type": "yes_no", "functions": ["telepathy"]}]},
            r"record 'q0', field steps\.0\.functions: cognitive function must be one of",
        ),
        (
            {"objects": [{"id": 0, "cls": "dog", "box": {"x0": 0.5, "y0": 0, "x1": 0.2, "y1": 1}}]},
            r"record 'q0', field objects\.0\.box: must have x0 < x1",
        ),
    ],
)
def test_a_record_that_breaks_the_schema_is_named_with_its_field(tmp_path, picture, changes, message):
    with pytest.raises(HeadAtlasError, match=message):
        load(write_jsonl(tmp_path, record(**changes)))


def test_unreadable_images_name_their_question(tmp_path, picture):
    data = load(write_jsonl(tmp_path, record(), record(id="gone", images=["pictures/b.png"])))
    with pytest.raises(HeadAtlasError, match=r"question 'gone': image 0 cannot be read: '.*b\.png"):
        data[1]
    picture.write_bytes(b"not a picture")
    with pytest.raises(HeadAtlasError, match=r"question 'q0': image 0 cannot be read: .* not an image"):
        data[0]
    with pytest.raises(HeadAtlasError, match="question 'gone'"):
        data.save(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_what_is_no_dataset_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bad.jsonl").write_text('{"id": "a"\n')
    (tmp_path / "list.jsonl").write_text("[1]\n")
    (tmp_path / "my own.jsonl").write_text('{"image": "a.png", "question": "which?", "answer": "this"}\n')
    (tmp_path / "own.csv").write_text("image,question,answer\n")
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "run" / "data" / "questions-00000.parquet")
    pd.DataFrame({"id": ["a"], "other": [1]}).to_parquet(tmp_path / "other.parquet")
    for name, message in {
        "nowhere": "no such dataset",
        "empty": "found none",
        "broken.parquet": "not a readable Parquet file",
        "empty.jsonl": "the dataset is empty",
        "bad.jsonl": "line 1: not JSON",
        "list.jsonl": "line 1: must be an object",
        "my own.jsonl": r"line 1: no field steps; it has image, question, answer; .* headatlas data from '.*my own\.jsonl' --out",
        "own.csv": r"found none; .* headatlas data from .*own\.csv --out",
        "run": r"got the run directory of a study; its questions are in .*run.data$",
        "other.parquet": "no column text, answer, answer_type, steps",
    }.items():
        with pytest.raises(HeadAtlasError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value), name
    with pytest.raises(HeadAtlasError, match="the dataset is empty"):
        CogVSR.from_questions([])


def test_an_id_comes_once():
    with pytest.raises(HeadAtlasError, match="got 'q1' again"):
        CogVSR.from_questions([make_question(0), make_question(1), make_question(1)])


def test_json_lines_may_hold_any_text_but_no_way_out_of_the_folder(tmp_path, picture):
    hostile = "one\u2028line <script>\x85 still one"
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(record(text=hostile), ensure_ascii=False), encoding="utf-8")
    assert load(path)[0].text == hostile
    for name in ("../pictures/a.png", str(picture)):
        with pytest.raises(HeadAtlasError, match="record 'q0', field images: "):
            load(write_jsonl(tmp_path, record(images=[name])))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path, picture):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(picture)
    (tmp_path / "set" / "questions.jsonl").write_text(json.dumps(record(images=["a.png"])))
    with pytest.raises(HeadAtlasError, match=r"record 'q0', field images: 'a\.png' is a link out of"):
        load(tmp_path / "set" / "questions.jsonl")


def test_a_table_may_not_name_files_of_this_machine(tmp_path, picture):
    stolen = {**rows.to_row(make_question(1)), "images": [{"bytes": None, "path": str(picture)}]}
    pq.write_table(rows.to_table([rows.to_row(make_question(0)), stolen]), tmp_path / "hostile.parquet")
    with pytest.raises(HeadAtlasError, match="image 1 of the table must be the image itself, got only the path"):
        load(tmp_path / "hostile.parquet")


def test_a_photograph_is_stored_upright_and_without_its_flag(tmp_path):
    (tmp_path / "pictures").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGB", (80, 40), "blue")
    stored.paste("red", (0, 0, 40, 40))
    stored.save(tmp_path / "pictures" / "a.jpg", exif=exif, quality=95)
    data = load(write_jsonl(tmp_path, record(images=["pictures/a.jpg"])))
    saved = load(data.save(tmp_path / "saved"))
    assert saved.fingerprint == data.fingerprint
    with Image.open(io.BytesIO(next(iter(saved.rows()))["images"][0]["bytes"])) as image:
        assert image.size == (40, 80)
        assert not image.getexif()
        assert image.getpixel((20, 5))[0] > 200 > image.getpixel((20, 75))[0]
    assert np.array_equal(np.asarray(saved[0].images[0]), np.asarray(data[0].images[0]))
