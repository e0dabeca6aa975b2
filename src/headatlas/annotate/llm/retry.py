"""When to ask again: which failures pass, how long to wait, what a server's Retry-After says. Knows HTTP's rules and clocks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses after which the same call may succeed."""

LONGEST = 120.0
"""Seconds that are waited at most, whatever a server asks for; then the call counts as tried."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (`retry-after-ms`, or `retry-after` as seconds or a date); None if it does not."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((milliseconds, 1e-3), (value, 1.0)):
        try:
            seconds = float(text or "") * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        when = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def backoff(attempt: int, base: float = 1.0) -> float:
    """Seconds before try `attempt` + 1: doubling from `base`, half of it chance: many callers must not come back at once."""
    return min(LONGEST, base * 2**attempt) * (0.5 + random.random() / 2)


class Gate:
    """Holds all callers back until a time: when a server says "too many", it says it to all of them."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close_for(self, seconds: float) -> None:
        """Let nobody pass for this long; at most `LONGEST`."""
        self._opens = max(self._opens, time.monotonic() + min(seconds, LONGEST))

    async def passed(self) -> None:
        """Wait until the gate is open."""
        while (left := self._opens - time.monotonic()) > 0:
            await asyncio.sleep(left)
