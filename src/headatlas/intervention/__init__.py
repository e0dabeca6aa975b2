"""Interventions: conditions and their cached answers, controls, edits down and up, damage, dose."""

from headatlas.intervention.condition import ORIGINAL, Condition, Runner
from headatlas.intervention.controls import MATCHES, least_important, other_functions, random_sets
from headatlas.intervention.damage import damage_matrix, matrix, specificity
from headatlas.intervention.directions import Directions, directions
from headatlas.intervention.dose import dose_curve
from headatlas.intervention.effects import Effect, change, effect, final, interval, of_function, spatial
from headatlas.intervention.negative import add_q, negative
from headatlas.intervention.operations import OPERATIONS, ablate, mean_norm, mean_z
from headatlas.intervention.positive import GRID, positive, tune

__all__ = [
    "GRID",
    "MATCHES",
    "OPERATIONS",
    "ORIGINAL",
    "Condition",
    "Directions",
    "Effect",
    "Runner",
    "ablate",
    "add_q",
    "change",
    "damage_matrix",
    "directions",
    "dose_curve",
    "effect",
    "final",
    "interval",
    "least_important",
    "matrix",
    "mean_norm",
    "mean_z",
    "negative",
    "of_function",
    "other_functions",
    "positive",
    "random_sets",
    "spatial",
    "specificity",
    "tune",
]
