"""Read CLEVR's functional programs (`scene`, `filter_color`, `unique`, `relate`, `count`, ...) as questions about a graph.

Nodes have `type` or `function`, `inputs`, and `value_inputs` or `side_inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import Asking, Near, Things
from headatlas.importing.rooms3d.graph import DIRECTIONS, KINDS

_ATTRIBUTES = ("size", "color", "material", "shape")
_COMPARISONS = {"equal_integer": "equal", "less_than": "less", "greater_than": "greater"}

Made = Things | Asking


def read_program(program: Sequence[Mapping[str, Any]]) -> Asking:
    """The question of a program's last node. Raises `Unusable` for an operation that is not CLEVR's."""
    made: list[Made] = []
    try:
        for node in program:
            kind = str(node.get("type") or node["function"])
            values = [str(v) for v in (node.get("value_inputs") or node.get("side_inputs") or [])]
            made.append(_node(kind, [made[int(i)] for i in node["inputs"]], values))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Unusable(f"the program is not of CLEVR's form ({type(error).__name__}: {error})") from error
    if not made or not isinstance(made[-1], Asking):
        raise Unusable("the program does not end in a question")
    return made[-1]


def _node(kind: str, inputs: list[Any], values: list[str]) -> Made:
    operation, _, attribute = kind.partition("_")
    if kind == "scene":
        return Things()
    if kind == "unique":
        return inputs[0]
    if operation == "filter" and attribute in _ATTRIBUTES:
        name = "kind" if attribute == "shape" and values[0] in KINDS else attribute
        return replace(inputs[0], filters=(*inputs[0].filters, (name, values[0])))
    if kind == "relate" and values[0] in DIRECTIONS:
        return Things(near=(Near("relate", values[0], inputs[0]),))
    if operation == "same" and attribute in _ATTRIBUTES:
        return Things(near=(Near("same", attribute, inputs[0]),))
    if kind == "intersect":
        a, b = inputs
        if a.either or b.either:
            raise Unusable("a program that intersects unions")
        return Things((*a.filters, *(f for f in b.filters if f not in a.filters)), (*a.near, *b.near))
    if kind == "union":
        return Things(either=(inputs[0], inputs[1]))
    if kind in ("count", "exist"):
        return Asking(kind, "", (inputs[0],))
    if operation == "query" and attribute in _ATTRIBUTES:
        return Asking("query", attribute, (inputs[0],))
    if kind in _COMPARISONS:
        return Asking(_COMPARISONS[kind], "", (inputs[0].on[0], inputs[1].on[0]))
    if operation == "equal" and attribute in _ATTRIBUTES:
        return Asking("same", attribute, (inputs[0].on[0], inputs[1].on[0]))
    raise Unusable(f"the operation {kind!r} is not known")
