"""The families of reference VLMs by name, one file each."""

from __future__ import annotations

from headatlas.reference.families.base import Family
from headatlas.reference.families.gemma3 import Gemma3
from headatlas.reference.families.internvl import InternVL
from headatlas.reference.families.llava import Llava
from headatlas.reference.families.qwen import Qwen25VL
from headatlas.reference.families.smol import Smol
from headatlas.registry import Registry

__all__ = ["FAMILIES", "Family", "family_named"]

FAMILIES: Registry[Family] = Registry("family of reference VLMs", plural="families of reference VLMs")
for _family in (Llava(), Qwen25VL(), InternVL(), Gemma3(), Smol()):
    FAMILIES.add(_family.name, _family)


def family_named(name: str) -> Family:
    """Return a family; raises `HeadAtlasError`, listing the names, for an unknown one."""
    return FAMILIES[name]
