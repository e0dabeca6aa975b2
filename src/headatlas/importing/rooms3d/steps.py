"""Derive the steps that lead to the answer of a question from the scene graph.

The answer of every step is evaluated on the graph. A step asks about a single thing only if the graph has exactly one such
thing.
"""

from __future__ import annotations

from headatlas.cogvsr.schema import AnswerType, Step
from headatlas.importing.chain import HIGH, LOW, MATH, RELATION, SPATIAL, TEXT, Chain
from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import WHERE, Asking, Parts, Things, article, find, find_parts, words
from headatlas.importing.rooms3d.graph import Graph, name_of

_CLEAR = 0.06
"""A thing closer to the middle than this share of the width is not asked to be left or right."""

_WANTED = ("yes or no", "a number", "a property")
_ATTRIBUTES = {"size": LOW, "color": LOW, "material": LOW, "shape": HIGH, "kind": HIGH}
_SPELT = {"color": "colour"}


def tell(
    asking: Asking, graph: Graph, answer: str, answer_type: AnswerType, options: tuple[str, ...]
) -> tuple[Step, ...]:
    """The chain of steps to the answer. Raises `Unusable` if the graph lacks what the question mentions."""
    chain = Chain()
    wanted = _WANTED[0] if answer_type == "yes_no" else _WANTED[1] if asking.what == "count" else _WANTED[2]
    text = "What does the question ask for: yes or no, a number or a property?"
    chain.ask(text, wanted, TEXT, kind="asked_for", options=_WANTED)
    final = asking.on[0] if asking.what == "count" else None
    for of in asking.on:
        _lead(chain, of, graph, final)
    if asking.what in ("equal", "less", "greater"):
        for of in asking.on:
            _count(chain, of, graph)
    elif asking.what == "exist":
        _count(chain, asking.on[0], graph)
    elif asking.what == "same":
        for of in asking.on:
            assert isinstance(of, Things)
            i = _single(of, graph)
            said = name_of(graph.things[i].get(asking.value))
            text = f"What {_SPELT.get(asking.value, asking.value)} is the {words(of)}?"
            chain.ask(text, said, _ATTRIBUTES[asking.value], kind=f"{asking.value}_of")
        _which_side(chain, asking, graph)
    elif asking.what == "related":
        _which_side(chain, asking, graph)
    chain.ask("How many things are in the picture?", len(graph.things), MATH, HIGH, kind="count_all", optional=True)
    return chain.end(answer, answer_type, options, looks=_left_to_see(asking))


def _left_to_see(asking: Asking) -> tuple[str, ...]:
    """The functions of the last step: what no earlier step has asked, because it would have given the answer away."""
    first = asking.on[0]
    if asking.what == "related":
        return (RELATION, SPATIAL)
    if asking.what == "query":
        seen = _ATTRIBUTES.get(asking.value, HIGH)  # high-level perception: the name of a part
        return (seen, RELATION) if isinstance(first, Things) and first.near else (seen,)
    if asking.what == "count":
        assert isinstance(first, Things)
        return (RELATION, MATH) if first.near else (MATH, HIGH)
    return ()  # everything is known by then: comparing is deciding


def _single(things: Things, graph: Graph) -> int:
    found = find(things, graph)
    if len(found) != 1:
        raise Unusable(f"the scene must have one thing for {words(things)!r}, got {len(found)}")
    return found[0]


def _lead(chain: Chain, of: Things | Parts, graph: Graph, final: Things | Parts | None = None) -> None:
    """Add the steps that find `of`: the things that identify it, one relation at a time. `final` is not counted."""
    if isinstance(of, Parts):
        _lead(chain, of.of, graph)
        found = find(of.of, graph)
        if len(found) == 1:
            thing = graph.things[found[0]]
            if not any(name in ("shape", "kind") for name, _ in of.of.filters):
                chain.ask(f"What is the {words(of.of)}?", name_of(thing.shape), HIGH, kind="name_of")
            if not any(name == "color" for name, _ in of.of.filters):
                chain.ask(f"What colour is the {words(of.of)}?", thing.color, LOW, kind="color_of", optional=True)
        return
    for one in of.either:
        _lead(chain, one, graph)
        _count(chain, one, graph)
    for near in of.near:
        if isinstance(near.of, Parts):
            count = sum(bool(find_parts(Parts(near.of.filters, Things(f)), graph)) for f in [of.filters])
            chain.ask(f"Is there {article(words(Things(of.filters, (near,))))}?", count > 0, HIGH, LOW, kind="has_part")
            continue
        _lead(chain, near.of, graph)
        anchor = _single(near.of, graph)
        _half(chain, near.of, anchor, graph)
        alone = Things(near=(near,))
        count = len(find(alone, graph))
        if near.kind == "relate" and alone != final:
            text = f"How many things are {WHERE[near.value]} the {words(near.of)}?"
            chain.ask(text, count, RELATION, MATH, kind=f"count_{near.value}")
        elif near.kind == "same":
            attribute = near.value
            said = name_of(graph.things[anchor].get(attribute))
            text = f"What {_SPELT.get(attribute, attribute)} is the {words(near.of)}?"
            chain.ask(text, said, _ATTRIBUTES[attribute], kind=f"{attribute}_of")
    if of.near and of.filters:
        _count(chain, Things(of.filters), graph, optional=True)
    found = find(of, graph)
    if len(found) == 1 and of != final:
        _half(chain, of, found[0], graph, optional=bool(of.near))


def _count(chain: Chain, of: Things | Parts, graph: Graph, optional: bool = False) -> None:
    assert isinstance(of, Things)
    looks = any(name in ("color", "size", "material") for name, _ in of.filters)
    functions = (RELATION, MATH) if of.near else (MATH, LOW if looks else HIGH)
    verb = "are there" if not of.near or of.near[0].kind == "same" else "are"
    text = f"How many {words(of, many=True)} are there?" if verb == "are there" else _counted(of)
    chain.ask(text, len(find(of, graph)), *functions, kind="count", optional=optional)


def _counted(of: Things) -> str:
    """ "How many trucks are to the left of the bus?" """
    alone, condition = words(Things(of.filters), many=True), words(Things(near=of.near)).removeprefix("thing ")
    return (
        f"How many {alone} {condition} are there?"
        if condition.startswith("with")
        else f"How many {alone} are {condition}?"
    )


def _half(chain: Chain, of: Things, i: int, graph: Graph, optional: bool = False) -> None:
    x = graph.things[i].x
    if x is not None and abs(x - 0.5) > _CLEAR:
        text = f"Is the {words(of)} in the left or the right half of the picture?"
        chain.ask(text, ("left", "right")[x > 0.5], SPATIAL, kind="half", options=("left", "right"), optional=optional)


def _which_side(chain: Chain, asking: Asking, graph: Graph) -> None:
    """Ask for the relation of two things on the axis that the question does not ask for."""
    a, b = asking.on
    assert isinstance(a, Things)
    assert isinstance(b, Things)
    i, j = _single(a, graph), _single(b, graph)
    near, far = ("front", "behind") if asking.value in ("left", "right") else ("left", "right")
    options = ("in front of", "behind") if near == "front" else ("left of", "right of")
    for direction, said in zip((near, far), options, strict=True):
        if i != j and i in graph.lies.get(direction, ((),) * len(graph.things))[j]:
            text = f"Is the {words(a)} {options[0]} or {options[1]} the {words(b)}?"
            chain.ask(text, said, RELATION, kind="side", options=options, optional=asking.what == "same")
