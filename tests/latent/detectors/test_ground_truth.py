import pytest
from PIL import Image

from headatlas.cogvsr.schema import Box, Question, SceneObject, Step
from headatlas.errors import HeadAtlasError
from headatlas.latent import DETECTORS, Detector, GroundTruth, detector, get_detector

BOX = Box(x0=0.1, y0=0.1, x1=0.3, y1=0.4)


def question(text, objects):
    step = Step(text="Which side?", answer="left", answer_type="text", functions=("spatial_perception",))
    return Question(
        id="a", source="t", split="E", text=text, answer="left", answer_type="text", steps=(step,), objects=objects,
        images=(Image.new("RGB", (20, 20)),),
    )  # fmt: skip


def thing(i, cls, color=None, **rest):
    return SceneObject(id=i, cls=cls, color=color, box=BOX, **rest)


THINGS = (thing(0, "dog", "red"), thing(1, "car", "blue"), thing(2, "dog", "green"))


def names(text, objects=THINGS, **options):
    return [label for label, _ in GroundTruth(**options)(question(text, objects))]


def test_only_what_the_question_names():
    assert names("Is the red dog left of the blue car?") == ["red dog", "blue car"]
    assert names("How many dogs are there?") == ["red dog", "green dog"]
    assert names("Is the car facing up?") == ["blue car"]
    assert names("Is the red dog left?", mentioned=False) == ["red dog", "blue car", "green dog"]


def test_a_word_is_matched_whole():
    assert names("Where is the carpet with the dogma?") == ["red dog", "blue car", "green dog"], "names none: all"
    assert names("Where are the buses?", (thing(0, "bus"), thing(1, "dog"))) == ["bus"]


def test_hidden_and_boxless_things_are_not_detected():
    things = (thing(0, "dog", "red", visible=0.0), SceneObject(id=1, cls="car"), thing(2, "fish", visible=0.2))
    assert names("What is there?", things) == ["fish"]


def test_registry_takes_other_detectors():
    @detector("nothing")
    class Nothing:
        fingerprint = "nothing"

        def __call__(self, question):
            return []

    assert isinstance(get_detector("nothing"), Detector)
    DETECTORS.remove("nothing")
    assert get_detector("ground_truth", mentioned=False) == GroundTruth(mentioned=False)
    with pytest.raises(HeadAtlasError, match=r"detector must be one of .*ground_truth.*; got 'dino'"):
        get_detector("dino")


def test_fingerprint_tells_the_options_apart():
    assert GroundTruth().fingerprint != GroundTruth(mentioned=False).fingerprint
