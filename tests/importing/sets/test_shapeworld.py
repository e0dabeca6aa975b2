import json

import pytest
from PIL import Image

from headatlas.errors import HeadAtlasError


def entity(shape: str, color: str, x: float, y: float) -> dict:
    corners = {"topleft": {"x": x - 0.1, "y": y - 0.1}, "bottomright": {"x": x + 0.1, "y": y + 0.1}}
    return {
        "bounding_box": corners,
        "center": {"x": x, "y": y},
        "color": {"name": color},
        "shape": {"name": shape},
        "texture": {"name": "solid"},
    }


def caption(first: dict, kind: str, value: int, second: dict) -> dict:
    def typed(wanted: dict) -> dict:
        return {"component": "EntityType", "value": [{"predtype": k, "value": v} for k, v in wanted.items()]}

    body = {"component": "Relation", "predtype": kind, "value": value, "reference": typed(second)}
    return {"component": "Existential", "restrictor": typed(first), "body": body}


@pytest.fixture
def world(tmp_path):
    def write(labels="1.0;0.0", captions=2):
        folder = tmp_path / "relational-spatial_twoshapes"
        folder.mkdir()
        things = [entity("circle", "red", 0.2, 0.8), entity("cross", "blue", 0.7, 0.3)]
        models = [
            caption({"color": "red"}, "x-rel", -1, {"shape": "cross"}),
            caption({"shape": "circle"}, "y-rel", -1, {"color": "blue"}),
        ]
        (folder / "world_model.json").write_text(json.dumps([{"entities": things}]))
        (folder / "caption_model.json").write_text(json.dumps([models]))
        lines = ["a red shape is to the left of a cross .", "a circle is above a blue shape ."]
        (folder / "caption.txt").write_text("\n".join(lines[:captions]) + "\n\n")
        (folder / "agreement.txt").write_text(labels + "\n")
        Image.new("RGB", (50, 50)).save(folder / "world-0.png")
        return tmp_path

    return write


def test_captions_are_told_from_the_world(read, world, derived):
    drafts, left = read("shapeworld", world())
    assert not left
    assert [draft.answer for draft in drafts] == ["yes", "no"]
    for draft in drafts:
        derived(draft)
    assert drafts[0].text == 'Is this statement true of the picture? "A red shape is to the left of a cross."'
    said = {step.text: step for step in drafts[0].steps}
    assert said["Which relation does the statement claim: left, right, above or below?"].answer == "left"
    assert said["How many crosses are there?"].answer == "1"
    assert said["Is the red circle in the left or the right half of the picture?"].answer == "left"
    which = said["Which lies farther left, the red circle or the blue cross?"]
    assert (which.answer, which.function) == ("red circle", "relational_reasoning")
    assert which.boxes[0].center == (pytest.approx(0.2), pytest.approx(0.8))
    higher = {step.text: step.answer for step in drafts[1].steps}
    assert higher["Which lies higher, the red circle or the blue cross?"] == "blue cross"


def test_a_caption_that_the_world_contradicts_is_listed(read, world):
    drafts, left = read("shapeworld", world("0.0;0.5"))
    assert not drafts
    assert "the world model and the set's agreement differ" in left[0].reason
    assert "agreement must be 0 or 1, got 0.5" in left[1].reason


def test_files_that_do_not_fit_together_are_an_error(read, world):
    with pytest.raises(HeadAtlasError, match="1 worlds, 1 models, 1 captions, 2 agreements"):
        read("shapeworld", world("1.0;0.0\n1.0"))


def test_real_files(read, real, derived):
    drafts, left = read("shapeworld", real("shapeworld"))
    assert len(drafts) == 500
    assert not left  # every caption's truth, evaluated on the layout, is the set's own agreement
    for draft in drafts:
        derived(draft)
