"""One small but whole study of the shipped VLM, run once for all tests of this room."""

import pytest

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
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    study = open_study(make_settings(MODEL, **SMALL), out)
    run_stages(study)
    return out
