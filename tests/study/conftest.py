"""The small study of `small_study`, and what it was made of."""

import pytest
from small_study import MODEL, SMALL, finished, finished_study  # noqa: F401


@pytest.fixture(scope="session")
def model():
    """Name of the VLM under study."""
    return MODEL


@pytest.fixture(scope="session")
def small():
    """Settings of the small study."""
    return SMALL
