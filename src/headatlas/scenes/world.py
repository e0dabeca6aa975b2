"""The vocabulary of scenes, and their exact description without pixels: `Scene`, `Thing` and `Region`.

A scene is a board seen from above, six cells by six, one thing at most to a cell; things float at three depths, and nearer
things look larger and clearer, cast a wider shadow and cover farther ones. `sample.py` makes scenes, `render.py` draws them,
`question_types/` ask about them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CELLS = 6
"""Rows and columns, numbered 1..6 from the top left."""

CANVAS = 384
"""Pixels of the rendered square; a cell is 64."""

SHAPES = ("circle", "square", "triangle", "star")
FRONTED = ("arrow", "car", "dog", "fish")
"""Things with a front, seen from above, so that they can face any way."""
CLASSES = SHAPES + FRONTED
COLORS = ("red", "orange", "yellow", "green", "blue", "purple")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
DIRECTIONS = ("up", "right", "down", "left")
"""Clockwise, in the image plane: turning right is one further, left is one back."""
DEPTHS = ("near", "middle", "far")
PLACES = ("meadow", "beach", "snow", "night")

DEPTH_SCALE = (1.0, 0.8, 0.63)
SIZE_SCALE = {"large": 1.12, "small": 0.78}
"""A thing spans `64 px * SIZE_SCALE * DEPTH_SCALE` (its longer side)."""


@dataclass(frozen=True)
class Thing:
    """One thing on the board. `facing` is None for shapes; `depth` indexes `DEPTHS`; `dx`, `dy` shift it, in canvas pixels."""

    cls: str
    color: str
    texture: str
    size: str
    row: int
    column: int
    depth: int
    facing: str | None = None
    dx: float = 0.0
    dy: float = 0.0

    @property
    def name(self) -> str:
        """Colour and class; no two things of a scene have both in common."""
        return f"{self.color} {self.cls}"

    @property
    def span(self) -> float:
        """Its longer side in canvas pixels."""
        return CANVAS / CELLS * SIZE_SCALE[self.size] * DEPTH_SCALE[self.depth]

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of its middle in canvas pixels."""
        cell = CANVAS / CELLS
        return (self.column - 0.5) * cell + self.dx, (self.row - 0.5) * cell + self.dy

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Square XYXY box around it in canvas pixels, clipped to the canvas."""
        (x, y), half = self.center, self.span / 2
        return max(0.0, x - half), max(0.0, y - half), min(float(CANVAS), x + half), min(float(CANVAS), y + half)


@dataclass(frozen=True)
class Region:
    """A frame drawn on the board around whole cells: rows `row0..row1`, columns `column0..column1`, both ends included."""

    row0: int
    column0: int
    row1: int
    column1: int

    def holds(self, row: int, column: int) -> bool:
        """Whether the cell lies inside the frame."""
        return self.row0 <= row <= self.row1 and self.column0 <= column <= self.column1


@dataclass(frozen=True)
class Scene:
    """The content of one picture; equal scenes are rendered to equal pixels."""

    things: tuple[Thing, ...]
    place: str
    region: Region | None = None

    def mirrored(self) -> Scene:
        """The mirrored scene: columns reversed, left and right facings exchanged."""
        flip = {"left": "right", "right": "left"}
        things = tuple(
            replace(t, column=CELLS + 1 - t.column, dx=-t.dx, facing=flip.get(t.facing, t.facing) if t.facing else None)
            for t in self.things
        )
        region = self.region and replace(
            self.region, column0=CELLS + 1 - self.region.column1, column1=CELLS + 1 - self.region.column0
        )
        return Scene(things, self.place, region)
