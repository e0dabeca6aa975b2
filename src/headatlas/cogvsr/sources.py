"""Sources of questions by name, for `cogvsr.load(name)`.

A source is a function `(n, seed, splits) -> Iterable[Question]` that makes about `n` main questions, the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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
    "described source", ["headatlas.scenes.source", "headatlas.importing.own_files", "headatlas.importing.sets.*"]
)
"""Descriptions of sources, by the name in a question's `source`."""

ROW_READERS: Registry[Callable[..., Any]] = Registry("reader of rows", ["headatlas.importing.rows"])
"""The function that `from_rows` calls. It is registered by `headatlas.importing`, which this room may not import."""

__all__ = ["ROW_READERS", "SOURCES", "SOURCE_FACTS", "Source", "SourceFacts", "source"]
