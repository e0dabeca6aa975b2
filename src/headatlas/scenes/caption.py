"""Describe a scene thing by thing; the shipped models are trained on these captions."""

from __future__ import annotations

from headatlas.scenes.world import DEPTHS, Scene, Thing


def describe(thing: Thing, scene: Scene) -> str:
    """Return a thing in words, such as "small striped red dog row 2 column 5 near facing left inside"."""
    words = [thing.size, thing.texture, thing.name, f"row {thing.row} column {thing.column}", DEPTHS[thing.depth]]
    if thing.facing:
        words.append(f"facing {thing.facing}")
    if scene.region:
        words.append("inside" if scene.region.holds(thing.row, thing.column) else "outside")
    return " ".join(words)


def caption(scene: Scene) -> str:
    """Return the place and all things in reading order of their cells, so that only one caption is right."""
    things = sorted(scene.things, key=lambda t: (t.row, t.column))
    return f"{scene.place} . " + " . ".join(describe(thing, scene) for thing in things) + " ."
