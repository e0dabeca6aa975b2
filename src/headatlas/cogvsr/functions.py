"""The eight cognitive functions of CogVSR (arXiv 2603.20662), their order and their names for people.

The order of `FUNCTIONS` is the order of every array axis called F.
"""

from __future__ import annotations

from headatlas.errors import HeadAtlasError
from headatlas.registry import near

FUNCTIONS: tuple[str, ...] = (
    "spatial_perception",
    "relational_reasoning",
    "low_level_perception",
    "high_level_perception",
    "information_extraction",
    "knowledge_recall",
    "math_reasoning",
    "decision_making",
)

SPATIAL: tuple[str, ...] = ("spatial_perception", "relational_reasoning")

TASK = "task"
"""The kind (`Step.kind`) of steps whose function is not named. They are stored under `SPATIAL[0]`, because a step must
have a function, and a study of such steps treats them as one function that it calls `TASK_TITLE`."""

TASK_TITLE = "This task"

TITLES: dict[str, str] = {
    "spatial_perception": "Spatial perception",
    "relational_reasoning": "Relational reasoning",
    "low_level_perception": "Low-level visual perception",
    "high_level_perception": "High-level visual perception",
    "information_extraction": "Information extraction",
    "knowledge_recall": "Knowledge recall",
    "math_reasoning": "Math reasoning",
    "decision_making": "Decision making",
}

MEANINGS: dict[str, str] = {
    "spatial_perception": "where a thing is, which way it points, how near it is",
    "relational_reasoning": "how two or more things lie to each other",
    "low_level_perception": "colour, texture, size",
    "high_level_perception": "which things are there, what kind of place it is",
    "information_extraction": "what the question itself says",
    "knowledge_recall": "what is known without looking",
    "math_reasoning": "counting up, comparing and calculating numbers",
    "decision_making": "settling on the answer",
}


def check_function(name: str) -> str:
    """Return `name` if it is one of the eight functions, else raise `HeadAtlasError` naming the eight."""
    if name not in FUNCTIONS:
        raise HeadAtlasError(
            f"cognitive function must be one of {', '.join(FUNCTIONS)}; got {name!r}{near(name, FUNCTIONS)}"
        )
    return name
