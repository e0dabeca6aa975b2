"""Detectors other than ground truth: files, and an endpoint over HTTP."""

import json
import os

import pytest
from chat_server import ChatServer
from PIL import Image, ImageDraw

from headatlas.cogvsr.schema import Box, Question, SceneObject, Step
from headatlas.errors import HeadAtlasError
from headatlas.latent import get_detector, things_named
from headatlas.latent.boxes import write_boxes
from headatlas.latent.detectors import picture_key

ROTATED = 6
"""EXIF orientation of a picture that is stored lying on its side."""


def picture():
    image = Image.new("RGB", (60, 40), "white")
    ImageDraw.Draw(image).rectangle((6, 4, 17, 19), fill="red")
    return image


@pytest.fixture
def question():
    step = Step(text="So?", answer="yes", answer_type="yes_no", functions=("spatial_perception",))
    return Question(
        id="q1", source="t", split="E", text="Is the red car left of the blue arrow?", answer="yes", answer_type="yes_no",
        steps=(step,), images=(picture(),),
    )  # fmt: skip


def test_what_a_question_names(question):
    assert things_named(question) == ["red car", "blue arrow"]
    objects = (SceneObject(id=0, cls="Car"), SceneObject(id=1, cls="dog"))
    assert things_named(question.model_copy(update={"objects": objects})) == ["car"]


def test_boxes_come_from_a_file_by_picture_or_question(question, tmp_path):
    path = tmp_path / "boxes.jsonl"
    rows = [
        {"picture": picture_key(picture()), "label": "car", "box": [0.1, 0.1, 0.3, 0.5]},
        {"picture": "q2", "label": "", "box": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    detector = get_detector(f"file:{path}")
    assert detector(question) == [("car", Box(x0=0.1, y0=0.1, x1=0.3, y1=0.5))]
    assert detector(question.model_copy(update={"id": "q2", "images": (Image.new("RGB", (4, 4)),)})) == []
    with pytest.raises(HeadAtlasError, match="no line for the picture of question 'q3'"):
        detector(question.model_copy(update={"id": "q3", "images": (Image.new("RGB", (4, 4)),)}))
    before = detector.fingerprint
    path.write_text(json.dumps({**rows[0], "label": "bus"}))
    assert get_detector(f"file:{path}").fingerprint != before
    path.write_text('{"picture": "q1", "label": "car", "box": [0.5, 0, 0.1, 1]}')
    with pytest.raises(HeadAtlasError, match=r"line 1: a line must be"):
        get_detector(f"file:{path}")
    good = json.dumps({"picture": question.id, "label": "a\u2028b", "box": [0, 0, 1, 1]}, ensure_ascii=False)
    for bad in (
        "[" * 9999,
        '{"picture": "q", "label": "x", "box": [0.5, 0, 0.5, 1]}',
        '{"picture": "q", "box": [1e999, 0, 1, 1]}',
    ):
        path.write_text(f"{good}\n{bad}\n")
        with pytest.raises(HeadAtlasError, match=r"boxes.jsonl, line 2: a line must be"):
            get_detector(f"file:{path}")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HeadAtlasError, match="is no regular file"):
        get_detector(f"file:{path}")
    with pytest.raises(HeadAtlasError, match=r"file:boxes\.jsonl"):
        get_detector("file")


def test_a_picture_is_known_however_it_is_stored():
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    exif = lying.getexif()
    exif[0x0112] = ROTATED
    lying.info["exif"] = exif.tobytes()
    assert picture_key(lying) == picture_key(picture())


def test_an_endpoint_answers_with_boxes_or_outlines(question, tmp_path):
    reply = {
        "things": [
            {"label": "red car", "box": [0.1, 0.1, 0.3, 0.5]},
            {"label": "blue arrow", "mask": [[0.6, 0.2], [0.9, 0.4], [0.7, 0.8]]},
        ]
    }
    wrong = {"things": [{"label": "red car", "box": [10, 4, 17, 19]}]}
    server = ChatServer(lambda body, n: json.dumps(wrong if n == 0 else reply))
    with server:
        detector = get_detector("endpoint:looker", base_url=server.url, cache=tmp_path / "replies.sqlite")
        found = detector(question)
        assert found == detector(question)
        assert len(server.bodies) == 2, "pixels are no shares: asked again; then known by picture"
    assert found == [
        ("red car", Box(x0=0.1, y0=0.1, x1=0.3, y1=0.5)),
        ("blue arrow", Box(x0=0.6, y0=0.2, x1=0.9, y1=0.8)),
    ]
    sent = json.dumps(server.bodies[0])
    assert "red car, blue arrow" in sent
    assert "data:image/png;base64" in sent


def test_boxes_of_a_dataset_are_written_and_shown(question, tmp_path):
    thing = SceneObject(id=0, cls="car", box=Box(x0=0.1, y0=0.1, x1=0.3, y1=0.5))
    questions = [question.model_copy(update={"objects": (thing,)}), question.model_copy(update={"id": "q2"})]
    boxes, sheet, empty = write_boxes(questions, get_detector("ground_truth"), tmp_path / "out")
    assert empty == 1
    again = get_detector(f"file:{boxes}")
    assert again(questions[0]) == [("car", thing.box)]
    assert again(questions[1]) == []
    with Image.open(sheet) as shown:
        assert shown.size == (2 * 232, 260)
    with pytest.raises(HeadAtlasError, match="no question has a picture"):
        write_boxes([question.model_copy(update={"images": ()})], get_detector("ground_truth"), tmp_path / "none")
