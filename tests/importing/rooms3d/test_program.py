import pytest

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import evaluate
from headatlas.importing.rooms3d.program import read_program


def node(kind: str, inputs: tuple[int, ...] = (), *values: str) -> dict:
    return {"type": kind, "inputs": list(inputs), "value_inputs": list(values)}


SPHERE = [node("scene"), node("filter_shape", (0,), "sphere"), node("unique", (1,))]


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ([*SPHERE, node("relate", (2,), "right"), node("count", (3,))], "2"),
        ([*SPHERE, node("same_size", (2,)), node("unique", (3,)), node("query_color", (4,))], "green"),
        (
            [
                *SPHERE,
                node("relate", (2,), "right"),
                node("scene"),
                node("filter_color", (4,), "red"),
                node("intersect", (3, 5)),
                node("unique", (6,)),
                node("query_shape", (7,)),
            ],
            "cylinder",
        ),
        ([*SPHERE, node("scene"), node("filter_shape", (3,), "cube"), node("union", (1, 4)), node("count", (5,))], "3"),
        ([*SPHERE, node("count", (1,)), node("scene"), node("count", (4,)), node("less_than", (3, 5))], "yes"),
        (
            [
                *SPHERE,
                node("query_color", (2,)),
                node("scene"),
                node("filter_shape", (4,), "cylinder"),
                node("unique", (5,)),
                node("query_color", (6,)),
                node("equal_color", (3, 7)),
            ],
            "no",
        ),
    ],
)
def test_programs_are_carried_out(graph, program, answer):
    assert evaluate(read_program(program), graph) == answer
    renamed = [{"function": n["type"], "inputs": n["inputs"], "side_inputs": n["value_inputs"]} for n in program]
    assert evaluate(read_program(renamed), graph) == answer


@pytest.mark.parametrize(
    "program",
    [
        [],
        [node("scene")],
        [node("count", (3,))],
        [{"inputs": []}],
        [*SPHERE, node("query_pose", (2,))],
        [node("relate", (0,))],
    ],
)
def test_what_is_not_clevrs_is_unusable(program):
    with pytest.raises(Unusable):
        read_program(program)
