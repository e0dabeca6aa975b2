"""Answers in free text: parse them, compare them with the gold answer, and score a table of them."""

from headatlas.answers.metrics import accuracy, accuracy_by, chance, final, spatial_score, ss_chain, ss_ground
from headatlas.answers.parsing import matches, parse
from headatlas.answers.thoughts import without_thoughts

__all__ = [
    "accuracy",
    "accuracy_by",
    "chance",
    "final",
    "matches",
    "parse",
    "spatial_score",
    "ss_chain",
    "ss_ground",
    "without_thoughts",
]
