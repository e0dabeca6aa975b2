"""One small but whole study of the shipped VLM, run once for all tests of this room."""

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


@pytest.fixture(scope="session")
def model():
    """Name of the VLM under study."""
    return MODEL


@pytest.fixture(scope="session")
def small():
    """Settings of the small study."""
    return SMALL


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """Run directory of the finished study. The test processes share the run; each has a copy of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "finished-study"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            made = base / "study-in-the-making"
            run_stages(open_study(make_settings(MODEL, **SMALL), made))
            made.rename(shared)
    out = tmp_path_factory.mktemp("study") / "run"
    shutil.copytree(shared, out)
    return out
