"""SIGTERM ends asynchronous work in order, wherever it arrives."""

import asyncio
import os
import signal

import pytest

from headatlas.annotate.llm import Stopped, run, stoppable


@pytest.mark.parametrize("interrupt", [signal.SIG_IGN, signal.default_int_handler], ids=["ignored", "default"])
def test_every_task_is_ended_before_the_message(interrupt):
    ended = []

    async def step(i):
        if i == 0:
            os.kill(os.getpid(), signal.SIGTERM)  # the handler runs in the middle of this task
        await asyncio.sleep(60)

    async def piece(i):
        try:
            await asyncio.wait_for(step(i), 60)
        finally:
            await asyncio.sleep(0)
            ended.append(i)

    async def work():
        try:
            await asyncio.gather(*map(piece, range(4)))
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    before = signal.signal(signal.SIGINT, interrupt)
    outer = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(Stopped, match="go on"), stoppable("run it again to go on"):
            run(work)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, outer)
    assert set(ended) == {0, 1, 2, 3, "work"}


def test_a_handler_that_raises_nothing_stops_nothing():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))

    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        return "done"

    try:
        assert run(work) == "done"
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
