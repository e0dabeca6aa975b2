import pytest

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import Asking, Near, Things, evaluate, find, words

CUBES = Things((("shape", "cube"),))
SPHERE = Things((("shape", "sphere"),))
RED = Things((("color", "red"),))
LEFT = Things((("shape", "cube"),), (Near("relate", "left", SPHERE),))


def test_things_are_found(graph):
    assert find(CUBES, graph) == [0, 2]
    assert find(LEFT, graph) == [0]
    assert find(Things(near=(Near("same", "size", SPHERE),)), graph) == [2]
    assert find(Things(either=(CUBES, RED)), graph) == [0, 2, 3]
    assert find(Things((("color", "red"),), either=(CUBES,)), graph) == [0]


@pytest.mark.parametrize(
    ("asking", "answer"),
    [
        (Asking("count", "", (CUBES,)), "2"),
        (Asking("exist", "", (LEFT,)), "yes"),
        (Asking("query", "color", (LEFT,)), "red"),
        (Asking("same", "size", (SPHERE, LEFT)), "no"),
        (Asking("related", "left", (LEFT, SPHERE)), "yes"),
        (Asking("equal", "", (CUBES, RED)), "yes"),
        (Asking("less", "", (SPHERE, RED)), "yes"),
        (Asking("greater", "", (SPHERE, RED)), "no"),
    ],
)
def test_answers(graph, asking, answer):
    assert evaluate(asking, graph) == answer


def test_what_must_be_one_thing_is_not_guessed(graph):
    for asking in (Asking("query", "color", (CUBES,)), Asking("same", "size", (CUBES, SPHERE))):
        with pytest.raises(Unusable, match=r"must (give one answer|have one thing)"):
            evaluate(asking, graph)
    with pytest.raises(Unusable, match="the scene must have one thing for 'cube', got 2"):
        find(Things(near=(Near("relate", "left", CUBES),)), graph)


def test_words():
    assert words(LEFT) == "cube to the left of the sphere"
    assert words(LEFT, many=True) == "cubes to the left of the sphere"
    assert words(Things((("color", "red"), ("size", "small"), ("kind", "bus")))) == "small red bus"
    assert words(Things((("kind", "bus"),)), many=True) == "buses"
    assert words(Things(either=(CUBES, SPHERE)), many=True) == "cubes or spheres"
