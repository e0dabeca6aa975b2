"""Names and folders of the shipped VLMs: the reference models (see `headatlas.reference`) and the planted worlds
(`headatlas.truth`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry

WEIGHTS = Path(__file__).parent / "reference" / "weights"
WORLDS = Path(__file__).parent / "truth" / "worlds"

ASSEMBLERS: Registry[Callable[[Path], Path]] = Registry(
    "assembler", ("headatlas.reference.smol.assembled", "headatlas.reference.shared_weights")
)
"""By the file that marks the folder of a model in parts: the function that returns its complete folder."""

MARKS = ("parts.json", "shared_weights.json")
"""The names in `ASSEMBLERS`, which need not be imported for a folder without them."""


def names() -> tuple[str, ...]:
    """Return the names of the shipped reference models that are complete in themselves, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WEIGHTS.glob("*/config.json")))


def in_parts() -> tuple[str, ...]:
    """Return the names of the reference models of which only the trained parts ship, in alphabetical order.

    They also need a pretrained language model, which `headatlas reference get` fetches once.
    """
    return tuple(sorted({folder.parent.name for folder in WEIGHTS.glob("*/parts.json")} - set(names())))


def worlds() -> tuple[str, ...]:
    """Return the names of the shipped planted worlds, in alphabetical order."""
    return tuple(sorted(folder.parent.name for folder in WORLDS.glob("*/truth.json")))


def known() -> tuple[str, ...]:
    """Return every name that `path` and `load_vlm` take: models, models in parts, worlds."""
    return (*names(), *in_parts(), *worlds())


def own_folder(name: str) -> Path:
    """Return the folder inside the package, with the card; raises `HeadAtlasError`, listing the names, for an unknown one."""
    if name in worlds():
        return WORLDS / name
    if name not in known():
        raise HeadAtlasError(
            f"no shipped model {name!r}: expected one of {', '.join(known()) or '(none is trained yet)'}"
        )
    return WEIGHTS / name


def path(name: str) -> Path:
    """Return the complete model folder of a shipped model or world.

    A model in parts is assembled with its base once, in the cache (`$HEADATLAS_CACHE`).

    Raises:
        HeadAtlasError: no such name (the message lists the names), or its base has not been fetched (the message names the
            command).
    """
    return complete(own_folder(name))


def complete(folder: Path) -> Path:
    """Return the model folder that belongs to `folder`: itself, or the assembled one if it holds only the parts of a model.

    Raises:
        HeadAtlasError: its parts are damaged, or the base has not been fetched.
    """
    for mark in MARKS:
        if (folder / mark).is_file() and not any(folder.glob("model*.safetensors")):
            return ASSEMBLERS[mark](folder)
    return folder
