"""Names and folders of the shipped VLMs: the reference models (see `headatlas.reference`) and the planted worlds
(`headatlas.truth`)."""

from __future__ import annotations

from pathlib import Path

from headatlas.errors import HeadAtlasError

WEIGHTS = Path(__file__).parent / "reference" / "weights"
WORLDS = Path(__file__).parent / "truth" / "worlds"


def names() -> tuple[str, ...]:
    """Return the names of the shipped reference models, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WEIGHTS.glob("*/config.json")))


def worlds() -> tuple[str, ...]:
    """Return the names of the shipped planted worlds, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WORLDS.glob("*/truth.json")))


def path(name: str) -> Path:
    """Return the folder of a shipped model or world; raises `HeadAtlasError`, listing the names, for an unknown one."""
    if name in worlds():
        return WORLDS / name
    if name not in names():
        known = ", ".join([*names(), *worlds()])
        raise HeadAtlasError(f"no shipped model {name!r}: expected one of {known or '(none is trained yet)'}")
    return WEIGHTS / name
