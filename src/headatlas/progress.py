"""How long-running functions report progress: one protocol for the whole package."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, runtime_checkable


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


@dataclass
class Pace:
    """How fast one kind of work goes; `update` is called as progress is."""

    begun: float = field(default_factory=time.monotonic)
    first: int | None = None
    done: int = 0
    total: int = 0

    def update(self, done: int, total: int) -> None:
        """Note that `done` of `total` items are done. What was done at the first call does not count."""
        if self.first is None or done < self.done:
            self.first, self.begun = done, time.monotonic()
        self.done, self.total = done, total

    @property
    def rate(self) -> float:
        """Items a second so far; 0 if not known."""
        seconds = time.monotonic() - self.begun
        return (self.done - (self.first or 0)) / seconds if seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None if not known."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        if not self.rate or self.done >= self.total:
            return ""
        rate = f"{self.rate:.1f}/s" if self.rate >= 1 else f"{1 / self.rate:.1f} s each"
        return f"{rate}, {duration(self.left)} left"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: "40 s", "12 min", "3.5 h"; "?" if not known."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Bars:
    """A `Progress` that shows one bar for each kind of work on stderr, with rate and time left; also a context manager.

    The kind of work is the text up to the first ":". If stderr is not a terminal, it prints one line for each new kind of work
    and then at most one every ten seconds, so that logs stay readable.

        with ha.Bars() as bars:
            ha.run_study("ref-llava", data, progress=bars)
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._paces: dict[str, Pace] = {}
        self._last_line = 0.0

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Show that `done` of `total` items are done."""
        name = what.split(":")[0]
        if not self._console.is_terminal:
            self._line(name, what, done, total)
            return
        if self._bars is None:
            self._bars, self._tasks = _bars(self._console), {}
            self._bars.start()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done, total=total, description=what)

    def _line(self, name: str, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        first = name not in self._paces
        pace = self._paces.setdefault(name, Pace())
        pace.update(done, total)
        if first or done == total or now - self._last_line > 10:
            self._last_line = now
            note = f" ({pace})" if str(pace) and not first else ""
            print(f"{what} {done}/{total}{note}", file=self._console.file or sys.stderr, flush=True)


def _bars(console: Any) -> Any:
    from rich import progress as columns
    from rich.text import Text

    class Rate(columns.ProgressColumn):
        """The rate of work."""

        def render(self, task: columns.Task) -> Text:
            """The rate so far, as "3.2/s" or "4.1 s each"."""
            speed = task.finished_speed or task.speed
            text = "" if not speed else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"
            return Text(text, style="progress.data.speed")

    return columns.Progress(
        columns.SpinnerColumn(), columns.TextColumn("{task.description}", markup=False), columns.BarColumn(),
        columns.MofNCompleteColumn(), Rate(), columns.TimeElapsedColumn(), columns.TimeRemainingColumn(), console=console,
    )  # fmt: skip
