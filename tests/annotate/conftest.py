"""Fixtures of the rooms in `annotate/`."""

import signal

import pytest


@pytest.fixture
def ctrl_c():
    """Python's own handler of Ctrl-C: a process that was started in the background of a script ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
