"""The protocol and the registry of detectors, which find the things that a question is about."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from PIL import Image

from headatlas.cogvsr.schema import Box, Question
from headatlas.pictures import upright
from headatlas.registry import Registry

Detections = list[tuple[str, Box]]
"""(label, box) of each detected thing; boxes are XYXY, in 0..1 of the image's width and height."""


@runtime_checkable
class Detector(Protocol):
    """Finds things in a question's first image."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the detections could change."""
        ...

    def __call__(self, question: Question) -> Detections:
        """Detections in a fixed order; empty if nothing is found."""
        ...


DETECTORS: Registry[Callable[..., Detector]] = Registry("detector", ("headatlas.latent.detectors.*",))
"""Detector classes by name. A new one is a class with `@detector("name")` in a new file here, or in another package."""


def detector(name: str) -> Callable[[Callable[..., Detector]], Callable[..., Detector]]:
    """Class decorator that registers a detector under `name`."""
    return DETECTORS.register(name)


def get_detector(name: str, **options: object) -> Detector:
    """Make a detector by its registered name, or by `name:source`, such as `file:boxes.jsonl` or `owlv2:org/checkpoint`.

    Raises `HeadAtlasError` naming those there are for an unknown name.
    """
    name, colon, source = name.partition(":")
    return DETECTORS[name](source, **options) if colon else DETECTORS[name](**options)


def picture_key(image: Image.Image) -> str:
    """32 hex digits that identify a picture by the size and pixels of its upright form."""
    seen = upright(image).convert("RGB")
    return hashlib.blake2b(repr(seen.size).encode() + seen.tobytes(), digest_size=16).hexdigest()


_THING = re.compile(r"\b(?:the|an?|any|each|every)\s+((?:[\w-]+\s+)?[\w-]+)", re.IGNORECASE)
_NOT_THINGS = {
    *(
        "is",
        "are",
        "was",
        "of",
        "in",
        "on",
        "at",
        "to",
        "from",
        "than",
        "or",
        "and",
        "left",
        "right",
        "above",
        "below",
        "behind",
    ),
    *(
        "front",
        "picture",
        "image",
        "photo",
        "answer",
        "question",
        "side",
        "top",
        "bottom",
        "middle",
        "nearer",
        "farther",
    ),
}


def things_named(question: Question) -> list[str]:
    """The things that a question names, without repeats: the names of the dataset's objects that occur in its text, or else the
    words after its articles ("the red car")."""
    text = question.text.lower()
    known = dict.fromkeys(
        thing.cls.lower() for thing in question.objects if re.search(rf"\b{re.escape(thing.cls.lower())}", text)
    )
    if known:
        return list(known)
    things: dict[str, None] = {}
    for match in _THING.findall(text):
        words = [word for word in match.split() if word not in _NOT_THINGS]
        if words and match.split()[0] not in _NOT_THINGS:
            things[" ".join(words)] = None
    return list(things)
