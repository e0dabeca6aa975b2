"""`select` and `report` on a finished run take model and data as the run recorded them."""

import shutil

import pytest

from headatlas.study import kept_settings, open_recorded, open_study, run_command
from headatlas.study.stages import run_stage
from headatlas.vlm.loading import Loading


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_the_page_is_written_again_without_the_model(run, monkeypatch):
    monkeypatch.setattr(Loading, "load", lambda loading, name: pytest.fail("the model was loaded"))
    before = (run / "claims.json").read_bytes()
    (run / "report.html").unlink()
    study = open_recorded(kept_settings(run), run)
    assert run_command(study, "select") == []
    assert run_command(study, "report") == ["report"]
    assert (run / "report.html").is_file()
    assert run_stage(study, "select", again=True)
    assert (run / "claims.json").read_bytes() == before


def test_it_has_the_fingerprint_of_the_study_itself(run):
    settings = kept_settings(run)
    assert open_recorded(settings, run).fingerprint() == open_study(settings, run).fingerprint()
