import numpy as np
import pytest
from PIL import Image

from headatlas.cogvsr import Box, Question, Step
from headatlas.errors import HeadAtlasError

from .conftest import make_question


def photograph(orientation: int) -> Image.Image:
    """A white patch at the top left of the stored pixels, with an EXIF orientation."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:10, :20] = 255
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


def test_images_of_a_question_are_upright():
    question = make_question(0, images=(photograph(6),))
    assert question.images[0].size == (40, 80)
    assert question.images[0].getpixel((35, 5)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_in_stored_pixels_turn_with_the_picture(orientation):
    patch = Box(x0=0, y0=0, x1=0.25, y1=0.25)
    question = make_question(0, images=(photograph(orientation),))
    step = question.steps[0].model_copy(update={"boxes": (patch,)})
    thing = question.objects[0].model_copy(update={"box": patch})
    question = question.model_copy(
        update={"steps": (step, *question.steps[1:]), "objects": (thing, *question.objects[1:])}
    )
    turned = question.turned(orientation)
    (image,) = turned.images
    for box in (turned.steps[0].boxes[0], turned.objects[0].box):
        x, y = box.center
        assert image.getpixel((int(x * image.width), int(y * image.height))) == (255, 255, 255)
    assert turned.objects[1].box is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answer_type": "yesno"}, r"Step\.answer_type: must be 'yes_no', 'choice', 'number' or 'text', got 'yesno'"),
        ({"functions": ("spatial",)}, "Step.functions: cognitive function must be one of .*; got 'spatial'"),
        ({"wrong": 1}, "Step.wrong: Extra inputs are not permitted"),
        ({"text": "", "answer": ""}, r"Step.text: .*\(and 1 more\)"),
    ],
)
def test_a_mistake_in_a_record_is_one_line(fields, message):
    right = {"text": "is it?", "answer": "yes", "answer_type": "yes_no", "functions": ("spatial_perception",)}
    with pytest.raises(HeadAtlasError, match=message) as error:
        Step(**{**right, **fields})
    assert "\n" not in str(error.value)


def test_a_mistake_inside_a_question_names_its_field():
    with pytest.raises(HeadAtlasError, match=r"^Question\.steps\.0\.text: Field required"):
        Question(id="q", source="s", split="E", text="?", answer="a", answer_type="text", steps=({"answer": "a"},))
