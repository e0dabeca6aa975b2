"""Run asynchronous work on many items, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do `work` on every item, at most `at_once` at a time; items are taken from the iterable when they are needed.

    After a failure no new item is started. Work in progress is finished, because its replies are paid for, and then the first
    failure is raised.
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
