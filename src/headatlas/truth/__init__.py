"""Worlds whose truth is known: planted, synthetic and null ones, exact surgery; grading of scorers, calibration of claims."""

from headatlas.truth.layout import Layout, Plant
from headatlas.truth.surgery import permute_heads, scale_output
from headatlas.truth.verify import Verified, verify
from headatlas.truth.world import World, exchanged, load_world, plant

__all__ = [
    "Layout",
    "Plant",
    "Verified",
    "World",
    "exchanged",
    "load_world",
    "permute_heads",
    "plant",
    "scale_output",
    "verify",
]
