"""One small but whole study of the shipped VLM, run once for all tests: fixtures, to be imported into a `conftest.py`."""

import shutil

import pytest
from filelock import FileLock

from headatlas.study import make_settings, open_study, run_stages

MODEL = "ref-llava"
SMALL = {
    "n": 48, "seed": 1, "quick": True, "probe_null": 2, "linear_null": 20, "n_random": 2, "n_control_questions": 10,
    "doses": (2,), "n_steer": 1, "n_directions": 2, "n_bootstrap": 200, "alphas": (0.5,), "n_examples": 4,
    "towers": ("L", "V"),
}  # fmt: skip


OPTIONS = (
    "--n", "48", "--seed", "1", "--quick", "--tower", "L", "--tower", "V",
    *(word for name, value in SMALL.items() if name not in ("n", "seed", "quick", "towers")
      for word in ("--set", f"{name}={value[0] if isinstance(value, tuple) else value}")),
)  # fmt: skip
"""The settings as options of `headatlas study`."""


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory, worker_id):
    """Run directory of the finished study, shared by all processes: only to be read."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "finished-study"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            made = base / "study-in-the-making"
            run_stages(open_study(make_settings(MODEL, **SMALL), made))
            made.rename(shared)
    return shared


@pytest.fixture(scope="session")
def finished(finished_study, tmp_path_factory):
    """A copy of the finished study."""
    return shutil.copytree(finished_study, tmp_path_factory.mktemp("study") / "run")
