"""Models and data whose functional heads are known (*worlds*), to grade scorers and calibrate claims."""

from headatlas.truth.copies import copy_heads
from headatlas.truth.layout import Layout, Plant
from headatlas.truth.verify import Verified, verify
from headatlas.truth.world import World, exchanged, load_world, plant
from headatlas.vlm.surgery import permute_heads, scale_output

__all__ = [
    "Layout",
    "Plant",
    "Verified",
    "World",
    "copy_heads",
    "exchanged",
    "load_world",
    "permute_heads",
    "plant",
    "scale_output",
    "verify",
]
