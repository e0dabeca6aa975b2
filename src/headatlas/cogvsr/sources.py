"""Sources of questions by name, for `cogvsr.load(name)`.

A source is a function `(n, seed, splits) -> Iterable[Question]` that makes about `n` main questions, the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headatlas.cogvsr.schema import Question
from headatlas.registry import Registry

Source = Callable[[int, int, tuple[str, ...]], Iterable[Question]]

SOURCES: Registry[Source] = Registry("source", ["headatlas.scenes.source"])
source = SOURCES.register

__all__ = ["SOURCES", "Source", "source"]
