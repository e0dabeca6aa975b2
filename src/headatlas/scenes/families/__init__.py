"""Families of spatial questions, one file a group; importing this fills the registry `FAMILIES`."""

from headatlas.scenes.families import depth, direction, hops, position, region  # noqa: F401  (they register)
from headatlas.scenes.families.base import FAMILIES, Case, Chain, Family, find_family

__all__ = ["FAMILIES", "Case", "Chain", "Family", "find_family"]
