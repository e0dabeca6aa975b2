"""Scenes' questions in natural English: the ways to ask each kind of step and each main question.

As in `phrases.py`, no wording repeats the answer of an earlier step, and a wording has the same {slots} as the templates. A
question names its things in the order a, b, c.
"""

from headatlas.scenes.english.deciding import DECISION, MATH
from headatlas.scenes.english.places import RELATIONS, SPATIAL
from headatlas.scenes.english.questions import QUESTIONS
from headatlas.scenes.english.reading import EXTRACTION, RECALL
from headatlas.scenes.english.seeing import HIGH_LEVEL, LOW_LEVEL
from headatlas.scenes.english.ways import Ways

STEPS: dict[str, Ways] = {
    **EXTRACTION, **RECALL, **LOW_LEVEL, **HIGH_LEVEL, **SPATIAL, **RELATIONS, **MATH, **DECISION,
}  # fmt: skip
"""By the kinds of `phrases.KINDS`."""

__all__ = ["QUESTIONS", "STEPS", "Ways"]
