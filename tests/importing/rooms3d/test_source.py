import json

import pytest
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.origin import open_origin
from headatlas.importing.rooms3d.source import answer_of, read_folder

from .conftest import SCENE


def test_a_pictures_width_tells_halves(tmp_path):
    (tmp_path / "room.json").write_text(json.dumps(SCENE))
    kinds = {step.kind for draft in read_folder(open_origin(tmp_path)) for step in draft.steps}
    assert "half" not in kinds
    Image.new("RGB", (480, 320)).save(tmp_path / "room.png")
    kinds = {step.kind for draft in read_folder(open_origin(tmp_path)) for step in draft.steps}
    assert "half" in kinds


def test_what_cannot_be_used_is_listed(tmp_path):
    good = {"image_filename": "a.png", "question": "How many things are there?", "answer": 4}
    rows = [good, 3, {**good, "answer": None}, {**good, "question": ""}]
    (tmp_path / "questions.json").write_text(json.dumps({"questions": rows}))
    made = list(read_folder(open_origin(tmp_path)))
    assert [type(one) for one in made] == [Draft, LeftOut, LeftOut, LeftOut]
    assert made[0].answer_type == "number"
    assert made[0].objects == ()  # no scene of that name: the question stays, without a layout


def test_a_folder_of_something_else_is_an_error(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(HeadAtlasError, match="must hold JSON files with questions or scenes"):
        list(read_folder(open_origin(tmp_path)))


def test_answers_of_every_json_type():
    assert [answer_of(value) for value in (True, "no", 3, "3", "school", "True")] == [
        ("yes", "yes_no"),
        ("no", "yes_no"),
        ("3", "number"),
        ("3", "number"),
        ("school bus", "text"),
        ("yes", "yes_no"),
    ]
