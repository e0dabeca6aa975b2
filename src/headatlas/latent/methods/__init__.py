"""Activation methods, one file each."""

from headatlas.latent.methods.base import METHODS, Cost, Method, MethodInputs, Shown, ShowQuestion, method
from headatlas.latent.methods.sha import ARMS, Arm, arm, arms

__all__ = ["ARMS", "METHODS", "Arm", "Cost", "Method", "MethodInputs", "ShowQuestion", "Shown", "arm", "arms", "method"]
