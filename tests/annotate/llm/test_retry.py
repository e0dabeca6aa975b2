import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from headatlas.annotate.llm.retry import LONGEST, Gate, backoff, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date():
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 27 < retry_after({"retry-after": when}) <= 30


def test_backoff_doubles_within_bounds():
    for attempt in range(12):
        whole = min(LONGEST, 0.5 * 2**attempt)
        assert whole / 2 <= backoff(attempt, 0.5) <= whole


def test_the_gate_holds_and_opens():
    async def go():
        gate = Gate()
        await gate.passed()
        gate.close_for(0.1)
        gate.close_for(0.01)  # a shorter wait does not open it earlier
        start = time.monotonic()
        await asyncio.gather(gate.passed(), gate.passed())
        return time.monotonic() - start

    assert asyncio.run(go()) >= 0.1
