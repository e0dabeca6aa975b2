import pytest

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import Asking, Near, Things
from headatlas.importing.rooms3d.steps import tell

SPHERE = Things((("shape", "sphere"),))
CUBES = Things((("shape", "cube"),))
REL = "relational_reasoning"


def test_what_the_question_names_is_looked_up_first(graph):
    near = Things((("shape", "cube"),), (Near("relate", "left", SPHERE),))
    steps = tell(Asking("query", "color", (near,)), graph, "red", "text", ())
    assert [(step.text, step.answer, step.function) for step in steps] == [
        ("What does the question ask for: yes or no, a number or a property?", "a property", "information_extraction"),
        ("Is the sphere in the left or the right half of the picture?", "left", "spatial_perception"),
        ("How many things are to the left of the sphere?", "1", "relational_reasoning"),
        ("How many cubes are there?", "2", "math_reasoning"),
        (
            "Is the cube to the left of the sphere in the left or the right half of the picture?",
            "left",
            "spatial_perception",
        ),
        ("How many things are in the picture?", "4", "math_reasoning"),
        ("So what is the answer to the question?", "red", "low_level_perception"),
    ]


def test_the_question_itself_is_no_step(graph):
    right = Things(near=(Near("relate", "right", SPHERE),))
    steps = tell(Asking("count", "", (right,)), graph, "2", "number", ())
    assert "How many things are to the right of the sphere?" not in [step.text for step in steps]
    asked = Asking("related", "left", (Things((("color", "green"),)), SPHERE))
    steps = tell(asked, graph, "no", "yes_no", ())
    (side,) = [step for step in steps if step.kind == "side"]
    assert (side.text, side.answer) == ("Is the green thing in front of or behind the sphere?", "in front of")


def test_two_things_where_one_is_meant_are_not_told(graph):
    with pytest.raises(Unusable, match="must have one thing"):
        tell(Asking("same", "size", (CUBES, SPHERE)), graph, "no", "yes_no", ())


@pytest.mark.parametrize(
    ("asking", "answer", "functions"),
    [
        (Asking("related", "left", (Things((("color", "green"),)), SPHERE)), "no", (REL, "spatial_perception")),
        (Asking("query", "color", (SPHERE,)), "blue", ("low_level_perception",)),
        (Asking("query", "shape", (Things((("color", "green"),)),)), "cylinder", ("high_level_perception",)),
        (Asking("count", "", (Things(near=(Near("relate", "right", SPHERE),)),)), "2", (REL, "math_reasoning")),
        (Asking("exist", "", (Things((("color", "green"),)),)), "yes", ()),
    ],
)  # fmt: skip
def test_the_last_step_looks_at_what_no_step_has_told(graph, asking, answer, functions):
    steps = tell(asking, graph, answer, "yes_no" if answer in ("yes", "no") else "text", ())
    assert steps[-1].functions == (*functions, "decision_making")
    assert steps[-1].needs_image is bool(functions)
