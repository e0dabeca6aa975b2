"""Progress bars on stderr, with rates and remaining times."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from headatlas.progress import Progress

T = TypeVar("T")


def tracked(items: Iterable[T], total: int, what: str, progress: Progress) -> Iterator[T]:
    """The same items, reported to `progress` as they are taken."""
    for done, item in enumerate(items, 1):
        yield item
        progress(what, done, total)


class _Rate(ProgressColumn):
    """The rate of work."""

    def render(self, task: Task) -> Text:
        """The rate so far, as "3.2/s" or "4.1 s each"."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("", style="progress.data.speed")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="progress.data.speed")


class Bars:
    """A `headatlas.progress.Progress` with one bar for each kind of work; a context manager.

    The kind of work is the text up to the first ":". If stderr is not a terminal, it prints one line for each new kind of
    work and then at most one every ten seconds, so that logs stay readable.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
        )
        self._bars = rich_progress.Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console)
        self._tasks: dict[str, int] = {}
        self._last_line = 0.0

    def __enter__(self) -> Bars:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Show that `done` of `total` items are done."""
        name = what.split(":")[0]
        if not self._console.is_terminal:
            self._line(name, what, done, total)
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total, description=what)  # type: ignore[arg-type]

    def _line(self, name: str, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        first = name not in self._tasks
        if first or done == total or now - self._last_line > 10:
            self._tasks[name] = 0
            self._last_line = now
            print(f"{what} {done}/{total}", file=self._console.file, flush=True)
