"""Make random scenes: choose things, their places and their depths."""

from __future__ import annotations

import random
from dataclasses import replace

from headatlas.scenes.world import (
    CELLS,
    CLASSES,
    COLORS,
    DEPTHS,
    DIRECTIONS,
    FRONTED,
    PLACES,
    SIZES,
    TEXTURES,
    Region,
    Scene,
    Thing,
)

JITTER = 4.0
"""Largest random shift of a thing in canvas pixels on each axis."""

LEAN = 12.0
"""Canvas pixels by which a nearer thing may be shifted over a deeper neighbour, so that it covers a part of it."""


def random_scene(rng: random.Random, *, n_things: tuple[int, int] = (4, 6), frame: float = 0.45) -> Scene:
    """Return a scene of `n_things` (least, most), no two of one colour and class; `frame` is the chance of a region.

    The same state of `rng` gives the same scene.
    """
    count = rng.randint(*n_things)
    names = rng.sample([(color, cls) for color in COLORS for cls in CLASSES], count)
    cells = rng.sample([(r, c) for r in range(1, CELLS + 1) for c in range(1, CELLS + 1)], count)
    things = [
        Thing(
            cls=cls,
            color=color,
            texture=rng.choice(TEXTURES),
            size=rng.choice(SIZES),
            row=row,
            column=column,
            depth=rng.randrange(len(DEPTHS)),
            facing=rng.choice(DIRECTIONS) if cls in FRONTED else None,
            dx=round(rng.uniform(-JITTER, JITTER), 1),
            dy=round(rng.uniform(-JITTER, JITTER), 1),
        )
        for (color, cls), (row, column) in zip(names, cells, strict=True)
    ]
    things = [_lean(thing, things, rng) for thing in things]
    return Scene(tuple(things), rng.choice(PLACES), _region(rng) if rng.random() < frame else None)


def _lean(thing: Thing, things: list[Thing], rng: random.Random) -> Thing:
    """Shift a thing toward a deeper neighbour in the next cell: occlusion is a cue to depth."""
    for other in things:
        down, right = other.row - thing.row, other.column - thing.column
        if abs(down) + abs(right) == 1 and other.depth > thing.depth:
            far = rng.uniform(LEAN / 2, LEAN)
            return replace(thing, dx=round(thing.dx + far * right, 1), dy=round(thing.dy + far * down, 1))
    return thing


def _region(rng: random.Random) -> Region:
    height, width = rng.randint(2, 4), rng.randint(2, 4)
    row, column = rng.randint(1, CELLS - height + 1), rng.randint(1, CELLS - width + 1)
    return Region(row, column, row + height - 1, column + width - 1)
