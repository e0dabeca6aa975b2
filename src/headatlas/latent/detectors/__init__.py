"""Detectors, which find the things that a question is about; one file each."""

from headatlas.latent.detectors.base import (
    DETECTORS,
    Detections,
    Detector,
    detector,
    get_detector,
    picture_key,
    things_named,
)
from headatlas.latent.detectors.ground_truth import GroundTruth

__all__ = [
    "DETECTORS",
    "Detections",
    "Detector",
    "GroundTruth",
    "detector",
    "get_detector",
    "picture_key",
    "things_named",
]
