"""Detectors: where the things are that a question is about. Ground truth ships; others are one registered function
each.

Knows questions and boxes; knows no model. A detector of another kind (an open detector of `transformers`, an API) is a
class with `fingerprint` and `__call__`, registered with `@detector("name")`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from headatlas.cogvsr.schema import Box, Question, SceneObject
from headatlas.errors import HeadAtlasError

Detections = list[tuple[str, Box]]
"""(label, box) of each thing found; boxes normalised, XYXY."""


@runtime_checkable
class Detector(Protocol):
    """Finds things in a question's first image."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the detections could."""
        ...

    def __call__(self, question: Question) -> Detections:
        """Detections in a fixed order; empty if nothing is found."""
        ...


_REGISTRY: dict[str, Callable[..., Detector]] = {}


def detector(name: str) -> Callable[[Callable[..., Detector]], Callable[..., Detector]]:
    """Class decorator: register a detector under `name`."""

    def register(make: Callable[..., Detector]) -> Callable[..., Detector]:
        _REGISTRY[name] = make
        return make

    return register


def get_detector(name: str, **options: object) -> Detector:
    """Make the registered detector `name`.

    Raises:
        HeadAtlasError: No detector has that name.
    """
    if name not in _REGISTRY:
        raise HeadAtlasError(f"unknown detector {name!r}: expected one of {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name](**options)


@detector("ground_truth")
@dataclass(frozen=True)
class GroundTruth:
    """The boxes that the dataset itself knows (`question.objects`).

    Args:
        mentioned: Only things whose class (and colour, where the text gives that class one) the question names, as a
            detector prompted with the question would find; all things if the question names none.
    """

    mentioned: bool = True

    @property
    def fingerprint(self) -> str:
        """Ground truth is part of the data's own fingerprint; only the option is left."""
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
    found = re.findall(rf"(\w+\s+)?\b{re.escape(thing.cls)}(?:e?s)?\b", text, flags=re.IGNORECASE)
    if not found:
        return False
    if thing.color is None:
        return True
    before = {word.strip().lower() for word in found}
    return thing.color.lower() in before or bool(before & _UNCOLOURED)


_UNCOLOURED = {"", "the", "a", "an", "any", "many", "this", "that", "each", "every", "all", "and", "of"}
