"""Activation methods, one file each."""

from headatlas.latent.methods.base import (
    METHODS,
    Cost,
    Method,
    MethodInputs,
    Shown,
    ShowQuestion,
    Strength,
    method,
    method_names,
)
from headatlas.latent.methods.sha import ARMS, Arm, arm, arms

__all__ = [
    "ARMS",
    "METHODS",
    "Arm",
    "Cost",
    "Method",
    "MethodInputs",
    "ShowQuestion",
    "Shown",
    "Strength",
    "arm",
    "arms",
    "method",
    "method_names",
]
