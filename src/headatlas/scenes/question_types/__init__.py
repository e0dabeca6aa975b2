"""Types of spatial questions, one file per group; importing this package fills the registry `QUESTION_TYPES`.

The order of the imports is the order in which the question types take turns: generated datasets depend on it.
"""

from headatlas.scenes.question_types import depth, direction, hops, position, region  # noqa: F401  (they register)
from headatlas.scenes.question_types.base import QUESTION_TYPES, Case, Chain, QuestionType

__all__ = ["QUESTION_TYPES", "Case", "Chain", "QuestionType"]
