"""Which failed calls are retried, and how long to wait."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses after which the same call may succeed."""

LONGEST = 120.0
"""The longest wait before a call is made again, in seconds."""

_A_DAY = 86_400.0  # seconds; longer waits are ignored


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date).

    None if it does not ask, or if the value is not readable, in the past, or more than a day ahead.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", value):
            seconds = float(value) * unit
            break
    else:
        seconds = _until(headers.get("retry-after", ""))
    return seconds if 0 < seconds <= _A_DAY else None


def _until(date: str) -> float:
    """Seconds until an HTTP date; 0 if the text is not a date."""
    try:
        when = parsedate_to_datetime(date)
        return (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


class Gate:
    """Makes all callers wait until a given time, because "too many requests" applies to all of them."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close_for(self, seconds: float) -> None:
        """Close the gate for this long, at most `LONGEST` seconds."""
        self._opens = max(self._opens, time.monotonic() + min(seconds, LONGEST))

    async def passed(self) -> None:
        """Wait until the gate is open."""
        while (left := self._opens - time.monotonic()) > 0:
            await asyncio.sleep(left)
