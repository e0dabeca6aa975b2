"""What is registered, and its code, belongs to the inputs of the stages that use it."""

import importlib.util

import pytest

from headatlas.intervention import OPERATIONS
from headatlas.latent import METHODS
from headatlas.study import make_settings
from headatlas.study.stages import STAGES
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

CODE = "from headatlas.heads import zero\n\n\ndef louder(heads, means):\n    return zero(heads)\n"


class Inputs(Study):
    """A study whose model and data are known."""

    def fingerprint(self):
        return {"model": 1}


@pytest.fixture
def study(tmp_path):
    return Inputs(make_settings("any", n=8), tmp_path / "run")


@pytest.fixture
def module(tmp_path):
    def load(text):
        path = tmp_path / "my_operation.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("my_operation", path)
        made = importlib.util.module_from_spec(spec)
        __import__("sys").modules["my_operation"] = made
        spec.loader.exec_module(made)
        return made

    yield load
    OPERATIONS.remove("louder")
    __import__("sys").modules.pop("my_operation", None)


def test_what_is_registered_later_or_changed_runs_the_stage_again(module, study):
    fingerprint = STAGES["ablate"].fingerprint
    before = fingerprint(study)
    OPERATIONS.add("louder", module(CODE).louder)
    added = fingerprint(study)
    assert fingerprint(study) == added
    OPERATIONS.add("louder", module(CODE + "# changed\n").louder)
    changed = fingerprint(study)
    OPERATIONS.remove("louder")
    assert len({before, added, changed}) == 3
    assert fingerprint(study) == before


def test_a_chosen_method_of_other_code_is_not_done(tmp_path):
    class Chosen:
        """A method of this file."""

    METHODS.add("mine", Chosen)
    try:
        chosen = Inputs(make_settings("any", n=8, methods=("mine",)), tmp_path / "run")
        before = STAGES["methods"].fingerprint(chosen)
        METHODS.add("mine", METHODS["gain"])
        assert STAGES["methods"].fingerprint(chosen) != before
    finally:
        METHODS.remove("mine")


def test_own_things_have_no_code_of_their_own():
    assert set(codes(OPERATIONS)) >= {"zero", "mean", "scale"}
    assert not any(codes(OPERATIONS).values())
    assert not any(codes(METHODS).values())
