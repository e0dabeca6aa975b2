"""Latent heads and the ways of waking them: SHA, the paper's way from the input side."""

from headatlas.latent.detect import Detector, GroundTruth, detector, get_detector
from headatlas.latent.latent import latent_heads
from headatlas.latent.sha import Arm, arms
from headatlas.latent.table import activation_table, run_arms

__all__ = [
    "Arm",
    "Detector",
    "GroundTruth",
    "activation_table",
    "arms",
    "detector",
    "get_detector",
    "latent_heads",
    "run_arms",
]
