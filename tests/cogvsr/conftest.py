"""Hand-made scenes and questions, small enough to check by eye."""

import pytest

from headatlas.cogvsr import Box, Question, SceneObject, Step
from headatlas.scenes.render import render
from headatlas.scenes.world import Region, Scene, Thing

DOG = Thing("dog", "red", "striped", "large", 2, 2, 0, "left", dx=3.5)
STAR = Thing("star", "blue", "dotted", "small", 2, 3, 2, dx=-4.0, dy=1.5)
SCENE = Scene((DOG, STAR), "meadow", Region(2, 1, 4, 3))


def make_question(i: int, split: str = "P", **changes) -> Question:
    fields = {
        "id": f"q{i}",
        "source": "hand",
        "split": split,
        "family": ("left_right", "counting")[i % 2],
        "scene": f"s{i}",
        "images": (render(SCENE, 96),),
        "text": f"is the dog left of the star? ({i})",
        "options": ("yes", "no"),
        "answer": "yes",
        "answer_type": "yes_no",
        "steps": (
            Step(
                text="which column is the dog in?",
                answer="2",
                answer_type="number",
                functions=("spatial_perception", "low_level_perception"),
                kind="column_of",
                boxes=(Box(x0=0.1, y0=0.2, x1=0.30000000001, y1=0.4),),
            ),
            Step(text="so?", answer="yes", answer_type="yes_no", functions=("decision_making",), needs_image=False),
        ),
        "objects": (
            SceneObject(id=0, cls="dog", color="red", facing="left", box=Box(x0=0, y0=0, x1=1, y1=0.5), row=2, depth=0),
            SceneObject(id=1, cls="star"),
        ),
    }
    return Question.model_validate({**fields, **changes})


@pytest.fixture
def questions() -> list[Question]:
    return [make_question(i, split) for i, split in enumerate("PPSTE")]
