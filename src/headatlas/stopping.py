"""Stop long work on Ctrl-C or SIGTERM with a message that says how to continue."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(KeyboardInterrupt):
    """The work was stopped by Ctrl-C or SIGTERM; `str(error)` is one line that says how to continue."""


@contextmanager
def stoppable(message: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM within the block into `Stopped(message)`.

    SIGTERM is caught in the main thread only, and not if the program has a handler of its own, as the command line has.
    """
    main = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, _as_interrupt) if main else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(message) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does; asyncio handles that itself and ends tasks in order."""
    interrupt = signal.getsignal(signal.SIGINT)
    if callable(interrupt):
        interrupt(signal.SIGINT, frame)
    else:  # ignored, as in the background of a script
        raise KeyboardInterrupt


def run_in_order(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Like `asyncio.run`, which ends all tasks in order on Ctrl-C, but on SIGTERM, too.

    A signal handler that raises would do so in whichever task is running, and asyncio would pass the exception on to the
    tasks that wait for it, so that the loop ends before the others have closed their connections.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return asyncio.run(make())
    raised: list[BaseException] = []

    async def work() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int, frame: FrameType | None) -> None:
            try:
                before(number, frame)
            except (KeyboardInterrupt, SystemExit) as error:
                raised.append(error)
                loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGTERM, stop)
        try:
            return await make()
        finally:
            signal.signal(signal.SIGTERM, before)

    try:
        result = asyncio.run(work())
    except asyncio.CancelledError:
        if raised:
            raise raised[0] from None
        raise
    if raised:
        raise raised[0]
    return result
