"""Sources of questions by name, for `cogvsr.load(name)`.

A source is a function `(n, seed, splits) -> Iterable[Question]` that makes about `n` main questions, the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headatlas.cogvsr.schema import Question
from headatlas.registry import Registry

Source = Callable[[int, int, tuple[str, ...]], Iterable[Question]]

SOURCES: Registry[Source] = Registry("source", ["headatlas.scenes.source"])
source = SOURCES.register


@dataclass(frozen=True)
class SourceFacts:
    """Where questions with this `source` come from, for cards: a source above, or an outside set with an importer.

    `steps` is `derived` from a layout, `given` by the authors, or `one` (the question itself).
    """

    title: str = ""
    licence: str = "not known"
    shareable: bool = False
    home: str = "not known"
    steps: str = "not known"


SOURCE_FACTS: Registry[SourceFacts] = Registry(
    "described source", ["headatlas.scenes.source", "headatlas.importing.sets.*"]
)
"""Descriptions of sources, by the name in a question's `source`."""

__all__ = ["SOURCES", "SOURCE_FACTS", "Source", "SourceFacts", "source"]
