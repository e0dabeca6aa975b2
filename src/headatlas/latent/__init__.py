"""Latent heads and the methods that activate them: `methods/` (one file each), `detectors/` (one file each)."""

from headatlas.latent.detectors import DETECTORS, Detections, Detector, GroundTruth, detector, get_detector
from headatlas.latent.heads import latent_heads, latent_table
from headatlas.latent.methods import ARMS, METHODS, Arm, Cost, Method, MethodInputs, arm, arms, method
from headatlas.latent.table import activation_table

__all__ = [
    "ARMS",
    "DETECTORS",
    "METHODS",
    "Arm",
    "Cost",
    "Detections",
    "Detector",
    "GroundTruth",
    "Method",
    "MethodInputs",
    "activation_table",
    "arm",
    "arms",
    "detector",
    "get_detector",
    "latent_heads",
    "latent_table",
    "method",
]
