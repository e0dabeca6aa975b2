"""What HeadAtlas needs to know about model families, one entry per family; `proof/` checks every family."""

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
