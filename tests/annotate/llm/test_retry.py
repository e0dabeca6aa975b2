import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from headatlas.annotate.llm.retry import Gate, retry_after


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
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after": "Mon, 99 Foo 2030 99:99:99 GMT"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "\u00b2"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "100000"}, None),
        ({"retry-after": "86400"}, 86400.0),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date():
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 27 < retry_after({"retry-after": when}) <= 30


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
