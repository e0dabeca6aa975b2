"""Entries of model families: what HeadAtlas cannot find out from the model itself. `proof/` checks every family."""

from headatlas.families.family import (
    FAMILIES,
    ChatFormat,
    Family,
    TinyModel,
    TinyProcessor,
    add,
    counts_positions,
    family_of,
)

__all__ = [
    "FAMILIES",
    "ChatFormat",
    "Family",
    "TinyModel",
    "TinyProcessor",
    "add",
    "counts_positions",
    "family_of",
]
