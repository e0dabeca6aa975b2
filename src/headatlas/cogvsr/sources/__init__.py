"""Where questions can come from, by name. One file a source: every module here is imported and registers itself.

A source is a function `(n, seed, splits) -> Iterable[Question]`: about `n` main questions, the same for the same seed.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module

from headatlas.cogvsr.schema import Question

Source = Callable[[int, int, tuple[str, ...]], Iterable[Question]]

SOURCES: dict[str, Source] = {}


def source(name: str) -> Callable[[Source], Source]:
    """Register a source under the name that `cogvsr.load(name)` takes."""

    def register(function: Source) -> Source:
        SOURCES[name] = function
        return function

    return register


for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["SOURCES", "Source", "source"]
