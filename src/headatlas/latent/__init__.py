"""Latent heads and the methods that activate them: `methods/` (one file each), `detectors/` (one file each)."""

from headatlas.latent.arm_table import activation_table
from headatlas.latent.detectors import (
    DETECTORS,
    Detections,
    Detector,
    GroundTruth,
    detector,
    get_detector,
    picture_key,
    things_named,
)
from headatlas.latent.judging import Judged, judge
from headatlas.latent.latent_heads import LatentInputs, latent_table, twin_scores
from headatlas.latent.methods import (
    ARMS,
    METHODS,
    Arm,
    Cost,
    Method,
    MethodInputs,
    Strength,
    arm,
    arms,
    method,
    method_names,
)
from headatlas.latent.positive_control import FaintHeads, choose_faint, positive_control

__all__ = [
    "ARMS",
    "DETECTORS",
    "METHODS",
    "Arm",
    "Cost",
    "Detections",
    "Detector",
    "FaintHeads",
    "GroundTruth",
    "Judged",
    "LatentInputs",
    "Method",
    "MethodInputs",
    "Strength",
    "activation_table",
    "arm",
    "arms",
    "choose_faint",
    "detector",
    "get_detector",
    "judge",
    "latent_table",
    "method",
    "method_names",
    "picture_key",
    "positive_control",
    "things_named",
    "twin_scores",
]
