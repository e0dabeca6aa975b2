"""Campaigns: seeded cases, each made from its number alone. `--cases all` runs every case of a campaign, `--cases 17,40-45`
these; without it only the first few run.

A module names how many cases it has (`CASES`) and how many of them run every time (`EVERY_TIME`); a test that takes `case` gets
their numbers.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import finished, finished_study  # noqa: F401


def chosen(words: str, cases: int, every_time: int) -> list[int]:
    """The numbers of the cases to run: of `all`, of `17,40-45`, or the first few for an empty text."""
    if not words:
        return list(range(min(every_time, cases)))
    if words == "all":
        return list(range(cases))
    numbers: set[int] = set()
    for part in words.split(","):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(number for number in numbers if number < cases)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        module = metafunc.module
        numbers = chosen(metafunc.config.getoption("cases"), module.CASES, module.EVERY_TIME)
        metafunc.parametrize("case", numbers)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "campaigns" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))  # a case that takes longer hangs


MEMORY = 6 * 2**30
"""Bytes that a case may take, whatever a file claims."""


@pytest.fixture(autouse=True)
def _bounded_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def one_line(error: BaseException | str, longest: int = 1000) -> str:
    """The message of an error, which must be one printable line."""
    line = str(error)
    assert line, repr(error)
    assert len(line) < longest, line[:longest]
    assert line.isprintable(), repr(line)
    return line
