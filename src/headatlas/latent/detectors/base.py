"""The protocol and the registry of detectors, which find the things that a question is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from headatlas.cogvsr.schema import Box, Question
from headatlas.registry import Registry

Detections = list[tuple[str, Box]]
"""(label, box) of each detected thing; boxes are XYXY, in 0..1 of the image's width and height."""


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


DETECTORS: Registry[Callable[..., Detector]] = Registry("detector", ("headatlas.latent.detectors.*",))
"""Makers of detectors by name. A new one is a class with `@detector("name")` in a new file here, or in another package."""


def detector(name: str) -> Callable[[Callable[..., Detector]], Callable[..., Detector]]:
    """Class decorator that registers a detector under `name`."""
    return DETECTORS.register(name)


def get_detector(name: str, **options: object) -> Detector:
    """Make the detector registered under `name`; raises `HeadAtlasError` naming those there are."""
    return DETECTORS[name](**options)
