import pytest

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import Asking, Near, Parts, Things
from headatlas.importing.rooms3d.english import read_question

BUS = Things((("kind", "bus"),))
TRUCK = Things((("size", "small"), ("shape", "truck")))
BEHIND = Things((("size", "small"), ("shape", "truck")), (Near("relate", "behind", BUS),))


@pytest.mark.parametrize(
    ("text", "asking"),
    [
        ("How many tiny trucks are behind the bus?", Asking("count", "", (BEHIND,))),
        ("There is a bus; what number of small trucks are behind it?", Asking("count", "", (BEHIND,))),
        ("Are there any small trucks that are behind the bus?", Asking("exist", "", (BEHIND,))),
        ("What color is the small truck that is behind the bus?", Asking("query", "color", (BEHIND,))),
        ("There is a small truck behind the bus; how big is it?", Asking("query", "size", (BEHIND,))),
        ("The tiny truck behind the bus is made of what material?", Asking("query", "material", (BEHIND,))),
        ("Do the bus and the tiny truck have the same size?", Asking("same", "size", (BUS, TRUCK))),
        ("Is the bus made of the same material as the tiny truck?", Asking("same", "material", (BUS, TRUCK))),
        ("There is a bus; is its shape the same as the tiny truck?", Asking("same", "shape", (BUS, TRUCK))),
        ("Are there more buss than tiny trucks?", Asking("greater", "", (BUS, TRUCK))),
        ("Are there an equal number of buss and small trucks?", Asking("equal", "", (BUS, TRUCK))),
        (
            "How many other things are the same color as the bus?",
            Asking("count", "", (Things(near=(Near("same", "color", BUS),)),)),
        ),
        (
            "What is the name of the red part of the bus?",
            Asking("query", "name", (Parts((("color", "red"),), BUS),)),
        ),
        (
            "What is the material of the bus that has a shiny left wing?",
            Asking(
                "query",
                "material",
                (
                    Things(
                        (("kind", "bus"),), (Near("has", "", Parts((("material", "metal"), ("name", "left wing")))),)
                    ),
                ),
            ),
        ),
    ],
)
def test_the_templates_wordings(text, asking):
    assert read_question(text) == asking


@pytest.mark.parametrize(
    "text", ["Who are you?", "How many unicorns are behind the bus?", "What color is the bus that sings?", ""]
)
def test_other_wordings_are_unusable(text):
    with pytest.raises(Unusable):
        read_question(text)
