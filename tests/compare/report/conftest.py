"""A comparison of two synthetic models, and of one whose names are as bad as names get."""

from pathlib import Path

import pytest
from compare_runs import add_atlas
from synthetic_run import write_run


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
