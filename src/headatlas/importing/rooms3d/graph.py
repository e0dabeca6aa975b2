"""Read scene graphs in CLEVR's JSON form: things with attributes and parts, and their relations in four directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headatlas.cogvsr.schema import SceneObject
from headatlas.importing.draft import Unusable

_SIDES = ("front", "back", "left", "right", "mid", "center")
DIRECTIONS = ("left", "right", "front", "behind")

KINDS: dict[str, tuple[str, ...]] = {
    "car": ("suv", "wagon", "minivan", "sedan", "truck", "addi"),
    "bus": ("articulated", "double", "regular", "school"),
    "motorbike": ("chopper", "dirtbike", "scooter", "cruiser"),
    "aeroplane": ("jet", "fighter", "biplane", "airliner"),
    "bicycle": ("road", "utility", "mountain", "tandem"),
}
"""Super-CLEVR's categories and their shapes. CLEVR's shapes have none."""

KIND_OF = {shape: kind for kind, shapes in KINDS.items() for shape in shapes}
_CALLED = {"bus": "bus", "bicycle": "bike"}
NAMES = {shape: f"{shape} {_CALLED[kind]}" if kind in _CALLED else shape for shape, kind in KIND_OF.items()}
NAMES["addi"] = "regular car"
"""What Super-CLEVR calls its shapes in words."""


def name_of(shape: str) -> str:
    """A shape or category in words: `articulated` is "articulated bus"."""
    return NAMES.get(shape, shape)


@dataclass(frozen=True)
class Part:
    """A part of a thing: its name in words and its attributes."""

    name: str
    color: str = ""
    material: str = ""
    size: str = ""


@dataclass(frozen=True)
class Thing:
    """One thing. `x` is the horizontal position of its centre, 0 (left edge) to 1; None if the picture's width is not known."""

    shape: str
    color: str
    size: str
    material: str
    x: float | None
    depth: float
    parts: tuple[Part, ...] = ()

    def get(self, attribute: str) -> str:
        """An attribute by name; `kind` is the category of its shape."""
        return KIND_OF.get(self.shape, "") if attribute == "kind" else str(getattr(self, attribute))


@dataclass(frozen=True)
class Graph:
    """A scene: its things and, for each direction and thing, the set of things that lie in that direction from it."""

    things: tuple[Thing, ...]
    lies: Mapping[str, tuple[frozenset[int], ...]]

    def objects(self) -> tuple[SceneObject, ...]:
        """The things for the schema; depth ranks them from the viewer."""
        order = sorted(range(len(self.things)), key=lambda i: self.things[i].depth)
        return tuple(
            SceneObject(
                id=i,
                cls=name_of(t.shape),
                color=t.color or None,
                size=t.size or None,
                texture=t.material or None,
                depth=order.index(i),
            )
            for i, t in enumerate(self.things)
        )


def read_graph(scene: Mapping[str, Any], width: int | None = None) -> Graph:
    """The graph of a scene's JSON; `width` is that of its picture in pixels, if known. Raises `Unusable` for another form."""
    try:
        things = tuple(_thing(item, width) for item in scene["objects"])
        lies = scene.get("relationships") or _relations(scene)
        sets = {d: tuple(frozenset(int(j) for j in row) for row in lies[d]) for d in DIRECTIONS if d in lies}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Unusable(f"the scene is not of CLEVR's form ({type(error).__name__}: {error})") from error
    if not things or any(len(rows) != len(things) for rows in sets.values()):
        raise Unusable(f"the scene has {len(things)} things and relations for another number")
    return Graph(things, sets)


def part_name(raw: str) -> str:
    """A part in words: `exhaust_right_s` is "right exhaust", `back_left_wheel` is "back left wheel"."""
    found = [word for word in raw.split("_") if len(word) > 1]
    return " ".join([*(w for w in found if w in _SIDES), *(w for w in found if w not in _SIDES)])


def _thing(item: Mapping[str, Any], width: int | None) -> Thing:
    at = item["pixel_coords"]
    if isinstance(at[0], (list, tuple)):  # Super-CLEVR: [[x, y, depth], [width, height]]
        at, width = at[0], int(at[1][0])
    parts = item.get("parts") or {}
    return Thing(
        shape=str(item["shape"]),
        color=str(item.get("color", "")),
        size=str(item.get("size", "")),
        material=str(item.get("material", "")),
        x=float(at[0]) / width if width else None,
        depth=float(at[2]),
        parts=tuple(
            Part(part_name(name), str(p.get("color", "")), str(p.get("material", "")), str(p.get("size", "")))
            for name, p in parts.items()
        ),
    )


def _relations(scene: Mapping[str, Any], margin: float = 0.2) -> dict[str, list[list[int]]]:
    """Relations from 3D coordinates as CLEVR defines them: farther in a direction by more than a margin."""
    found: dict[str, list[list[int]]] = {}
    places = [item["3d_coords"] for item in scene["objects"]]
    for name in DIRECTIONS:
        along = [sum(a * b for a, b in zip(place, scene["directions"][name], strict=True)) for place in places]
        found[name] = [[j for j, b in enumerate(along) if j != i and b - a > margin] for i, a in enumerate(along)]
    return found
