"""Stop paid work by ctrl-C or SIGTERM with a message that says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """The user, or SIGTERM, stopped the work; `str(error)` is one line that says how to go on."""


@contextmanager
def stoppable(message: str) -> Iterator[None]:
    """Turn ctrl-C and SIGTERM within the block into `Stopped(message)`.

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
    """Do what ctrl-C does: asyncio has a handler of its own for it, which ends tasks in order."""
    interrupt = signal.getsignal(signal.SIGINT)
    if callable(interrupt):
        interrupt(signal.SIGINT, frame)
    else:  # ignored, as in the background of a script
        raise KeyboardInterrupt
