import pytest

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.graph import name_of, part_name, read_graph

from .conftest import SCENE


def test_relations_follow_from_places_where_a_scene_gives_none(graph):
    assert graph.lies["left"] == (frozenset(), frozenset({0}), frozenset({0, 1}), frozenset({0, 1, 2}))
    assert graph.lies["right"][0] == {1, 2, 3}
    assert graph.lies["behind"][2] == {0, 1, 3}
    given = {**SCENE, "relationships": {"left": [[1], [], [], []]}}
    assert read_graph(given).lies == {"left": (frozenset({1}), frozenset(), frozenset(), frozenset())}


def test_things(graph):
    first = graph.things[0]
    assert (first.x, first.get("shape"), first.get("kind")) == (pytest.approx(50 / 480), "cube", "")
    assert [thing.depth for thing in graph.objects()] == [2, 3, 0, 1]
    assert read_graph(SCENE).things[0].x is None  # no width, no halves


def test_names():
    assert (name_of("articulated"), name_of("utility"), name_of("truck"), name_of("cube")) == (
        "articulated bus",
        "utility bike",
        "truck",
        "cube",
    )
    assert [part_name(raw) for raw in ("exhaust_right_s", "back_left_wheel", "trunk", "handle_left")] == [
        "right exhaust",
        "back left wheel",
        "trunk",
        "left handle",
    ]


@pytest.mark.parametrize(
    "scene", [{}, {"objects": [{}]}, {**SCENE, "objects": []}, {**SCENE, "relationships": {"left": [[1]]}}]
)
def test_other_forms_are_unusable(scene):
    with pytest.raises(Unusable):
        read_graph(scene)
