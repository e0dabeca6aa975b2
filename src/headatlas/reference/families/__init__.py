"""The families of reference VLMs, by name: one file each, one line here."""

from __future__ import annotations

from headatlas.errors import HeadAtlasError
from headatlas.reference.families.base import Family
from headatlas.reference.families.gemma3 import Gemma3
from headatlas.reference.families.internvl import InternVL
from headatlas.reference.families.llava import Llava
from headatlas.reference.families.qwen import Qwen25VL

__all__ = ["FAMILIES", "Family", "family_named"]

FAMILIES: dict[str, Family] = {family.name: family for family in (Llava(), Qwen25VL(), InternVL(), Gemma3())}


def family_named(name: str) -> Family:
    """Return a family; raises `HeadAtlasError`, listing the names, for an unknown one."""
    if name not in FAMILIES:
        raise HeadAtlasError(f"no family of reference VLMs {name!r}: expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name]
