"""Progress of commands: bars on stderr, and items reported as they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from headatlas.progress import Bars, Progress

T = TypeVar("T")


def tracked(items: Iterable[T], total: int, what: str, progress: Progress) -> Iterator[T]:
    """The same items, reported to `progress` as they are taken."""
    for done, item in enumerate(items, 1):
        yield item
        progress(what, done, total)


__all__ = ["Bars", "tracked"]
