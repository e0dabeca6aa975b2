"""A room with four things in a row, in CLEVR's form: easy to check by eye."""

import pytest

from headatlas.importing.rooms3d.graph import Graph, read_graph


def thing(shape: str, color: str, size: str, place: list[float], x: int, depth: float) -> dict:
    at = [x, 100, depth]
    return {"shape": shape, "color": color, "size": size, "material": "metal", "3d_coords": place, "pixel_coords": at}


SCENE = {
    "directions": {"left": [-1, 0, 0], "right": [1, 0, 0], "front": [0, -1, 0], "behind": [0, 1, 0]},
    "objects": [
        thing("cube", "red", "large", [0, 0, 0], 50, 9.0),
        thing("sphere", "blue", "small", [1, 1, 0], 150, 10.0),
        thing("cube", "green", "small", [2, -1, 0], 300, 7.0),
        thing("cylinder", "red", "large", [3, 0, 0], 400, 8.0),
    ],
}


@pytest.fixture
def graph() -> Graph:
    return read_graph(SCENE, width=480)
