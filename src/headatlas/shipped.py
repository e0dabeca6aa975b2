"""Where the shipped VLMs lie. They are trained by `headatlas.reference`."""

from __future__ import annotations

from pathlib import Path

from headatlas.errors import HeadAtlasError

WEIGHTS = Path(__file__).parent / "reference" / "weights"


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WEIGHTS.glob("*/config.json")))


def path(name: str) -> Path:
    """Return the model folder of a shipped model; raises `HeadAtlasError`, listing the names, for an unknown one."""
    if name not in names():
        raise HeadAtlasError(
            f"no shipped model {name!r}: expected one of {', '.join(names()) or '(none is trained yet)'}"
        )
    return WEIGHTS / name
