"""How long-running functions report progress: one protocol for the whole package."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called as `progress(what, done, total)` whenever some items are done.

    `what` names the work, such as `"sweep: L3.H2"` (the part before the colon is the kind of work); `done` items of `total`
    are finished, counted from the start of that kind of work, including items found in a cache.
    """

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Report progress."""
        ...


def part(progress: Progress | None, what: str, total: int, before: int = 0) -> Progress | None:
    """A progress for a part of a larger piece of work: reports `before + done` of `total` under the name `what`."""
    if progress is None:
        return None
    return lambda _, done, __: progress(what, before + done, total)
