"""CogVSR: spatial questions in steps, each marked with the cognitive functions that it needs. This room does not import torch."""

from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, SPATIAL, TITLES, check_function
from headatlas.cogvsr.schema import Box, Question, SceneObject, Step
from headatlas.cogvsr.store import CogVSR, from_rows, load

__all__ = [
    "FUNCTIONS",
    "MEANINGS",
    "SPATIAL",
    "TITLES",
    "Box",
    "CogVSR",
    "Question",
    "SceneObject",
    "Step",
    "check_function",
    "from_rows",
    "load",
]
