import asyncio

import pytest

from headatlas.annotate.llm import each


def test_a_few_at_a_time_taken_as_they_are_needed():
    running, most, taken, done = 0, 0, [], []

    def items():
        for i in range(10):
            taken.append(i)
            yield i

    async def work(i):
        nonlocal running, most
        running += 1
        most = max(most, running)
        assert len(taken) - len(done) <= 3
        await asyncio.sleep(0.001 * (i % 3))
        running -= 1
        done.append(i)

    asyncio.run(each(items(), work, 3))
    assert sorted(done) == list(range(10))
    assert most == 3


def test_a_failure_ends_it_but_what_is_under_way_comes_to_its_end():
    begun, done = [], []

    async def work(i):
        begun.append(i)
        if i == 1:
            raise ValueError("one")
        await asyncio.sleep(0.02)
        done.append(i)

    with pytest.raises(ValueError, match="one"):
        asyncio.run(each(range(100), work, 3))
    assert begun == [0, 1, 2]
    assert done == [0, 2]


def test_nothing_to_do():
    asyncio.run(each([], lambda i: asyncio.sleep(0), 3))
