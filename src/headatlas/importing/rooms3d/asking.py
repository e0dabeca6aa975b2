"""Questions about a scene graph (attributes, relations, counts, comparisons): evaluate them and put them into words."""

from __future__ import annotations

from dataclasses import dataclass

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.graph import Graph, Part, name_of

ORDER = ("size", "color", "material", "shape", "kind")
WHERE = {"left": "to the left of", "right": "to the right of", "front": "in front of", "behind": "behind"}

Filters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Near:
    """A condition that relates things to other things: `relate` (value: a direction), `same` (an attribute) or `has` (a part)."""

    kind: str
    value: str
    of: Things | Parts


@dataclass(frozen=True)
class Things:
    """The things that pass all filters and meet all conditions; if `either` is not empty, the things of any of its members."""

    filters: Filters = ()
    near: tuple[Near, ...] = ()
    either: tuple[Things, ...] = ()


@dataclass(frozen=True)
class Parts:
    """The parts with these filters, of some things or of any thing. `name` may match one word: "wheel" is any wheel."""

    filters: Filters
    of: Things = Things()


@dataclass(frozen=True)
class Asking:
    """A question: an operation (`count`, `exist`, `query`, `same`, `related`, or the comparisons `equal`, `less`, `greater`), its
    attribute or direction, and what it is applied to.
    """

    what: str
    value: str
    on: tuple[Things | Parts, ...]


def find(things: Things, graph: Graph) -> list[int]:
    """Indices of the things."""
    return [i for i in _candidates(things, graph) if all(_meets(graph, i, near) for near in things.near)]


def _candidates(things: Things, graph: Graph) -> list[int]:
    pool = sorted({i for one in things.either for i in find(one, graph)}) if things.either else range(len(graph.things))
    return [i for i in pool if all(graph.things[i].get(name) == value for name, value in things.filters)]


def _meets(graph: Graph, i: int, near: Near) -> bool:
    if isinstance(near.of, Parts):
        return any(_part_fits(part, near.of.filters) for part in graph.things[i].parts)
    anchors = find(near.of, graph)
    if len(anchors) != 1:
        raise Unusable(f"the scene must have one thing for {words(near.of)!r}, got {len(anchors)}")
    if near.kind == "relate":
        return i in graph.lies[near.value][anchors[0]]
    return i != anchors[0] and graph.things[i].get(near.value) == graph.things[anchors[0]].get(near.value)


def find_parts(parts: Parts, graph: Graph) -> list[Part]:
    """The parts, thing by thing."""
    return [p for i in find(parts.of, graph) for p in graph.things[i].parts if _part_fits(p, parts.filters)]


def _part_fits(part: Part, filters: Filters) -> bool:
    return all(
        set(value.split()) <= set(part.name.split()) if name == "name" else getattr(part, name) == value
        for name, value in filters
    )


def evaluate(asking: Asking, graph: Graph) -> str:
    """The answer in words. Raises `Unusable` if something that must be unique is missing or occurs several times."""
    first = asking.on[0]
    if isinstance(first, Parts):
        return _one([getattr(part, asking.value) for part in find_parts(first, graph)], first)
    if asking.what == "count":
        return str(len(find(first, graph)))
    if asking.what == "exist":
        return "yes" if find(first, graph) else "no"
    if asking.what == "query":
        return _one([graph.things[i].get(asking.value) for i in find(first, graph)], first)
    second = asking.on[1]
    assert isinstance(second, Things)
    if asking.what in ("same", "related"):
        i, j = _only(first, graph), _only(second, graph)
        if asking.what == "related":
            return "yes" if i in graph.lies[asking.value][j] else "no"
        return "yes" if graph.things[i].get(asking.value) == graph.things[j].get(asking.value) else "no"
    a, b = len(find(first, graph)), len(find(second, graph))
    return "yes" if {"equal": a == b, "less": a < b, "greater": a > b}[asking.what] else "no"


def _only(things: Things, graph: Graph) -> int:
    found = find(things, graph)
    if len(found) != 1:
        raise Unusable(f"the scene must have one thing for {words(things)!r}, got {len(found)}")
    return found[0]


def _one(values: list[str], of: Things | Parts) -> str:
    if len(set(values)) != 1:
        raise Unusable(f"the scene must give one answer for {words(of)!r}, got {len(set(values))}")
    return values[0]


def words(of: Things | Parts, many: bool = False) -> str:
    """Things or parts in words, without an article: "small gray truck to the left of the bus"."""
    if isinstance(of, Parts):
        attributes = dict(of.filters)
        head = " ".join([*(attributes[n] for n in ORDER[:3] if n in attributes), attributes.get("name", "part")])
        return head if of.of == Things() else f"{head} of the {words(of.of)}"
    if of.either and not of.filters:
        return " or ".join(words(one, many) for one in of.either)
    attributes = dict(of.filters)
    noun = name_of(attributes["shape"]) if "shape" in attributes else attributes.get("kind", "thing")
    parts = [*(attributes[n] for n in ORDER[:3] if n in attributes), plural(noun) if many else noun]
    return " ".join([*parts, *(_near_words(near, many) for near in of.near)])


def _near_words(near: Near, many: bool) -> str:
    if isinstance(near.of, Parts):
        return f"with {article(words(near.of))}"
    if near.kind == "same":
        return f"of the same {near.value} as the {words(near.of)}"
    return f"{WHERE[near.value]} the {words(near.of)}"


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def plural(noun: str) -> str:
    """The noun in the plural."""
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"
