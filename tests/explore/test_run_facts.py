"""What a study adds to the page: scores by function, selected heads, directions to steer along."""

import shutil

import numpy as np
import pytest
from locked_elsewhere import locked_elsewhere

import headatlas as ha
from headatlas.cogvsr import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.explore import Desk
from headatlas.explore.mixer import edit_of
from headatlas.explore.requests import Asked, Change, JobRequest, Picture
from headatlas.explore.run_facts import RunFacts
from headatlas.intervention import Directions
from headatlas.study import make_settings
from headatlas.study.rundir import RunDir
from headatlas.study.stages import run_stage
from headatlas.study.study import Study


@pytest.fixture(scope="module")
def run(tiny_vlm, tiny_questions, tmp_path_factory):
    out = tmp_path_factory.mktemp("explore") / "run"
    data = CogVSR.from_questions(tiny_questions)
    settings = make_settings(tiny_vlm.name, scorers=("ablation",), quick=True, data=f"given:{data.fingerprint}")
    study = Study(settings, out, vlm=tiny_vlm, data=data)
    with study.run.locked():
        for stage in ("data", "evaluate", "capture", "score", "select"):
            run_stage(study, stage)
    return out


def test_the_page_has_the_scores_of_the_study(run, tiny_vlm):
    facts = RunFacts(run, tiny_vlm)
    document = facts.document()
    (scorer,) = document["scorers"]
    grid = facts.atlas.of("ablation").values
    assert np.allclose(
        scorer["values"]["spatial_perception"], grid[facts.atlas.functions.index("spatial_perception")], atol=1e-4
    )
    assert set(document["steer"]) == set(facts.atlas.functions)
    assert "steps" in document["steer"]["spatial_perception"]  # four steps are too few for a direction
    desk = Desk(tiny_vlm, ha.cogvsr.load(facts.data_name), facts.data_name, facts)
    assert desk.about()["run"]["where"] == str(run)


def test_a_run_that_another_process_is_writing_is_refused(run, tiny_vlm):
    facts = RunFacts(run, tiny_vlm)
    with locked_elsewhere(run):
        for read in (
            lambda: RunFacts(run, tiny_vlm),
            facts.document,
            lambda: facts.directions("spatial_perception"),
        ):
            with pytest.raises(HeadAtlasError, match="another process is working in the run"):
                read()
    assert facts.document()["scorers"]


def test_a_run_that_was_computed_again_is_to_be_opened_again(run, tiny_vlm, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    facts = RunFacts(copy, tiny_vlm)
    marker = RunDir(copy).marker("select")
    (copy / "stages" / "select.json").unlink()
    with pytest.raises(HeadAtlasError, match="computed again"):
        facts.document()
    RunDir(copy)._write_sealed("stages/select.json", marker)
    assert facts.document()["selected"] == RunFacts(run, tiny_vlm).document()["selected"]


def test_steering_goes_along_the_directions_of_the_study(run, tiny_vlm, monkeypatch):
    facts = RunFacts(run, tiny_vlm)
    change = Change(kind="steer", heads=("L1.H2",), alpha=2.0, function="spatial_perception")
    with pytest.raises(HeadAtlasError, match="no direction"):
        edit_of(change, tiny_vlm, facts)
    with pytest.raises(HeadAtlasError, match="function must be"):
        facts.directions("no_such")
    u = np.zeros((2, 4, 6), np.float32)
    u[1, 2, 0] = 1
    made = Directions(u, np.full((2, 4), 3, np.float32), 20, 20)
    monkeypatch.setattr(facts, "directions", lambda function: made)
    assert edit_of(change, tiny_vlm, facts).fingerprint == made.edit(ha.HeadSet("L1.H2"), 2.0).fingerprint
    desk = Desk(tiny_vlm, ha.cogvsr.load(facts.data_name), facts.data_name, facts)
    asked = Asked(picture=Picture(example=0), question="What colour is the car?")
    found = desk.do(JobRequest(kind="mix", asked=asked, changes=(change,)), lambda what, done, total: None)
    with tiny_vlm.edit(made.edit(ha.HeadSet("L1.H2"), 2.0)):
        assert found["after"] == tiny_vlm.answer(desk.pictures.image(asked.picture), asked.question)
    assert "directions_of" in found["snippet"]


def test_a_folder_without_a_study_is_refused(tmp_path, tiny_vlm):
    with pytest.raises(HeadAtlasError, match="must be the run directory of a study"):
        RunFacts(tmp_path, tiny_vlm)
