"""The models that ship with HeadAtlas, and their training: small VLMs, trained on HeadAtlas's own scenes."""

from __future__ import annotations

from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.registry import near

__all__ = ["names", "path"]

WEIGHTS = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """The names of the shipped models, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WEIGHTS.glob("*/config.json")))


def path(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        HeadAtlasError: there is no such model; the message lists those there are.
    """
    if name not in names():
        listed = ", ".join(names()) or "(none is trained yet)"
        raise HeadAtlasError(f"shipped model must be one of {listed}; got {name!r}{near(name, names())}")
    return WEIGHTS / name
