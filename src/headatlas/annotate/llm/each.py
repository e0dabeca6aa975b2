"""Many pieces of asynchronous work, a few at a time. Knows asyncio only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do `work` on every item, at most `at_once` at a time; items are taken from the iterable as they are needed.

    The first failure ends it: nothing new is begun, what is under way comes to its end (a reply that is on its way is
    paid for, and should be kept), and the failure is raised.
    """
    running: set[asyncio.Future[None]] = set()
    failures: list[BaseException] = []

    async def settle(when: str) -> None:
        nonlocal running
        done, running = await asyncio.wait(running, return_when=when)
        failures.extend(error for task in done if (error := task.exception()) is not None)

    try:
        for item in items:
            running.add(asyncio.ensure_future(work(item)))
            if len(running) >= at_once:
                await settle(asyncio.FIRST_COMPLETED)
            if failures:
                break
        while running:
            await settle(asyncio.ALL_COMPLETED)
    finally:
        for task in running:
            task.cancel()
    if failures:
        raise failures[0]
