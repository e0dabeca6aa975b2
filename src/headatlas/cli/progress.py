"""Progress bars on stderr, with rates. Knows rich; knows nothing of what is done."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Items a second since the task began."""

    def render(self, task: Task) -> Text:
        """The rate, as "3.2/s" or "4.1 s each"."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("", style="progress.data.speed")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="progress.data.speed")


class Bars:
    """One bar for each kind of work, called as `bars(what, done, total)`; a context manager.

    The kind is the text up to the first ":"; the rest is shown as it changes. Where stderr is no terminal, a line a kind of
    work and then at most one every ten seconds is printed, so that logs stay readable.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
        self._bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console)
        self._tasks: dict[str, int] = {}
        self._told = 0.0

    def __enter__(self) -> Bars:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
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
        if first or done == total or now - self._told > 10:
            self._tasks[name] = 0
            self._told = now
            print(f"{what} {done}/{total}", file=self._console.file, flush=True)
