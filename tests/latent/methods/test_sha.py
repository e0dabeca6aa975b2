import numpy as np
import pytest
from PIL import Image

from headatlas import latent
from headatlas.cogvsr.marks import elsewhere, outline
from headatlas.cogvsr.schema import Box, Question, SceneObject, Step
from headatlas.latent import ARMS, METHODS, GroundTruth, Method, arms

BOX = Box(x0=0.25, y0=0.25, x1=0.5, y1=0.5)


@pytest.fixture
def question():
    """A green ground with a thing whose left half is red and right half blue, 200 px."""
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[..., 1] = 200
    pixels[50:100, 50:75], pixels[50:100, 75:100] = (200, 0, 0), (0, 0, 200)
    step = Step(text="Which side?", answer="left", answer_type="text", functions=("spatial_perception",))
    return Question(
        id="q1", source="t", split="E", text="Where is the dog?", answer="left", answer_type="text", steps=(step,),
        objects=(SceneObject(id=0, cls="dog", box=BOX),), images=(Image.fromarray(pixels),),
    )  # fmt: skip


def shown(question, name):
    images, preamble = arms()[name](question)
    return [np.asarray(image) for image in images], preamble


def test_the_arms_and_their_names():
    assert list(arms()) == [
        *("original", "boxes", "mask", "boxes+mask", "random_boxes", "random_mask"),
        *("added_boxes", "added_mask", "added_boxes+mask", "added_random_boxes", "coordinates", "image_twice"),
    ]
    every = [*arms().values(), *arms(GroundTruth(False)).values()]
    assert len({arm.fingerprint for arm in every}) == 24


def test_no_arm_changes_the_question(question):
    before = np.asarray(question.images[0]).copy()
    for arm in arms().values():
        arm(question)
    np.testing.assert_array_equal(question.images[0], before)


def test_original_is_the_question(question):
    (image,), preamble = shown(question, "original")
    np.testing.assert_array_equal(image, question.images[0])
    assert preamble == ""


def test_boxes_leave_the_thing_as_it_is_and_surround_it(question):
    (image,), preamble = shown(question, "boxes")
    original = np.asarray(question.images[0])
    np.testing.assert_array_equal(image[50:100, 50:100], original[50:100, 50:100])
    changed = (image != original).any(-1)
    assert changed[48:50, 48:102].all()
    assert changed[100:102, 48:102].all()
    assert changed[48:102, 48:50].all()
    assert changed[48:102, 100:102].all()
    assert changed.sum() == 54 * 54 - 50 * 50
    assert preamble == ""


def test_outline_contrasts_with_any_ground():
    for ground in [(255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255), (128, 128, 128)]:
        image = np.asarray(outline(Image.new("RGB", (40, 40), ground), [BOX])).astype(int)
        assert np.abs(image - ground).sum(-1).max() > 250


def test_mask_takes_colour_and_shape_and_keeps_place_and_extent(question):
    (image,), _ = shown(question, "mask")
    original = np.asarray(question.images[0])
    inside = image[50:100, 50:100].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) == 1
    np.testing.assert_allclose(inside[0], original[50:100, 50:100].reshape(-1, 3).mean(0), atol=1)
    outside = np.ones((200, 200), bool)
    outside[50:100, 50:100] = False
    np.testing.assert_array_equal(image[outside], original[outside])


def test_boxes_and_mask_is_both(question):
    (both,), _ = shown(question, "boxes+mask")
    (mask,), _ = shown(question, "mask")
    np.testing.assert_array_equal(both[50:100, 50:100], mask[50:100, 50:100])
    assert (both != mask).any(-1).sum() == 54 * 54 - 50 * 50


def test_random_boxes_have_the_size_and_depend_on_the_question_only(question):
    (one,), _ = shown(question, "random_boxes")
    (again,), _ = shown(question, "random_boxes")
    (true,), _ = shown(question, "boxes")
    np.testing.assert_array_equal(one, again)
    assert (one != true).any()
    moved = [elsewhere([BOX, BOX], seed=f"q{i}") for i in range(200)]
    boxes = [box for pair in moved for box in pair]
    assert all(abs(b.x1 - b.x0 - 0.25) < 1e-9 and abs(b.y1 - b.y0 - 0.25) < 1e-9 for b in boxes)
    centers = np.array([box.center for box in boxes])
    assert (np.abs(centers.mean(0) - 0.5) < 0.06).all()
    assert len({tuple(c) for c in centers.tolist()}) == 400


def test_coordinates_are_said_and_the_image_is_untouched(question):
    (image,), preamble = shown(question, "coordinates")
    np.testing.assert_array_equal(image, question.images[0])
    assert preamble == "dog: 38% from the left, 38% from the top."


def test_image_twice(question):
    images, _ = shown(question, "image_twice")
    assert len(images) == 2
    np.testing.assert_array_equal(images[0], images[1])


def test_nothing_found_changes_nothing(question):
    bare = question.model_copy(update={"objects": ()})
    for name in ("boxes", "mask", "boxes+mask", "random_boxes", "coordinates"):
        (image,), preamble = shown(bare, name)
        np.testing.assert_array_equal(image, question.images[0])
        assert preamble == ""


def test_a_question_without_image_or_with_a_box_at_the_edge(question):
    edge = SceneObject(id=0, cls="dog", box=Box(x0=0.999, y0=0.0, x1=1.0, y1=0.001))
    for name in arms():
        arms()[name](question.model_copy(update={"objects": (edge,)}))
        assert arms()[name](question.model_copy(update={"images": ()}))[0] == ()


def test_sha_is_a_method(question):
    sha = METHODS["sha"]()
    assert isinstance(sha, Method)
    assert (sha.name, sha.controls, sha.cost.parameters) == ("sha", ("random_boxes", "image_twice"), 0)
    with sha.applied(None) as show:
        (image, added), _ = show(question)
    (both,), _ = shown(question, "boxes+mask")
    np.testing.assert_array_equal(image, question.images[0])
    np.testing.assert_array_equal(added, both)


def test_what_covers_other_places_covers_as_much(question):
    original = np.asarray(question.images[0]).astype(int)
    (moved,), _ = shown(question, "random_mask")
    boxes = elsewhere([BOX], seed=question.id)
    assert boxes[0] != BOX
    (image, added), _ = shown(question, "added_random_boxes")
    np.testing.assert_array_equal(image, question.images[0])
    assert moved.shape == original.shape
    assert (added != original).any()


def test_an_arm_from_outside_stands_beside_the_others(question):
    @latent.arm("upside_down", control="original")
    def upside_down(question, detections):
        return (question.images[0].rotate(180),), ""

    try:
        assert next(iter(arms())) == "original"
        assert arms()["upside_down"].control == "original"
        assert arms()["upside_down"](question)[1] == ""
    finally:
        ARMS.remove("upside_down")
