"""Hand-made runs of known similarity."""

from pathlib import Path

import pytest
from compare_runs import add_atlas, turn_functions
from synthetic_run import write_run


@pytest.fixture
def one(tmp_path):
    return write_run(tmp_path / "one", model="org/one")


@pytest.fixture
def twin(tmp_path):
    """The same numbers under another model's name."""
    return write_run(tmp_path / "twin", model="org/twin")


@pytest.fixture
def other(tmp_path):
    """Another model: other numbers, other depth."""
    return write_run(tmp_path / "other", shape=(9, 4), seed=5, model="org/other")


@pytest.fixture
def turned(tmp_path):
    """The same numbers with the functions' names permuted."""
    run = write_run(tmp_path / "turned", model="org/turned")
    turn_functions(run)
    return run


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison; both models have intervals, one its own report beside."""
    from headatlas.compare import compare_runs

    out = tmp_path_factory.mktemp("compared")
    runs = [
        write_run(out / "one", model="org/one"),
        write_run(out / "two", shape=(9, 4), seed=3, model="org/two"),
    ]
    for run in runs:
        add_atlas(run)
    (out / "one" / "report.html").write_text("<!doctype html><title>one</title>")
    compare_runs(runs, out)
    return out
