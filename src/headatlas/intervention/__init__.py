"""Interventions: conditions and their cached answers, controls, removing and steering heads, damage, dose curves."""

from headatlas.intervention.concentration import concentration
from headatlas.intervention.condition import ORIGINAL, Condition
from headatlas.intervention.controls import MATCHES, least_important, random_sets
from headatlas.intervention.cumulative import cumulative_curve
from headatlas.intervention.damage import damage_matrix, matrix, specificity
from headatlas.intervention.directions import Directions, directions
from headatlas.intervention.dose import dose_curve
from headatlas.intervention.effects import Effect, change, effect, final, interval, of_function, spatial
from headatlas.intervention.greedy import Minimal, greedy_set
from headatlas.intervention.negative import add_q, negative
from headatlas.intervention.operations import OPERATIONS, ablate, mean_z
from headatlas.intervention.pairs import pair_effects
from headatlas.intervention.positive import GRID, positive, tune
from headatlas.intervention.runner import Runner

__all__ = [
    "GRID",
    "MATCHES",
    "OPERATIONS",
    "ORIGINAL",
    "Condition",
    "Directions",
    "Effect",
    "Minimal",
    "Runner",
    "ablate",
    "add_q",
    "change",
    "concentration",
    "cumulative_curve",
    "damage_matrix",
    "directions",
    "dose_curve",
    "effect",
    "final",
    "greedy_set",
    "interval",
    "least_important",
    "matrix",
    "mean_z",
    "negative",
    "of_function",
    "pair_effects",
    "positive",
    "random_sets",
    "spatial",
    "specificity",
    "tune",
]
