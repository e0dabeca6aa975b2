"""The detector `ground_truth`: the boxes that are part of the dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headatlas.cogvsr.schema import Question, SceneObject
from headatlas.latent.detectors.base import Detections, detector

_UNCOLOURED = {"", "the", "a", "an", "any", "many", "this", "that", "each", "every", "all", "and", "of"}
"""Words before a class name that are not colours."""


@detector("ground_truth")
@dataclass(frozen=True)
class GroundTruth:
    """The boxes that are part of the dataset (`question.objects`).

    Args:
        mentioned: only things whose class (and colour, where the text gives that class one) the question names, as a
            detector prompted with the question would find; all things if the question names none.
    """

    mentioned: bool = True

    @property
    def fingerprint(self) -> str:
        """The option; the boxes are part of the data's own fingerprint."""
        return f"ground_truth:{self.mentioned}"

    def __call__(self, question: Question) -> Detections:
        """Visible objects that have a box, in the dataset's order."""
        things = [thing for thing in question.objects if thing.box is not None and thing.visible != 0.0]
        named = [thing for thing in things if _named(thing, question.text)] if self.mentioned else []
        return [(label(thing), thing.box) for thing in (named or things) if thing.box is not None]


def label(thing: SceneObject) -> str:
    """Colour and class, or the class alone."""
    return f"{thing.color} {thing.cls}" if thing.color else thing.cls


def _named(thing: SceneObject, text: str) -> bool:
    """Whether the text names the thing: with its colour, or by its class without any colour before it."""
    mentions = re.findall(rf"(\w+\s+)?\b{re.escape(thing.cls)}(?:e?s)?\b", text, flags=re.IGNORECASE)
    if not mentions:
        return False
    if thing.color is None:
        return True
    words = {word.strip().lower() for word in mentions}
    return thing.color.lower() in words or bool(words & _UNCOLOURED)
