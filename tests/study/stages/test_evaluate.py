"""The stage `evaluate`: what is measured of questions that name no functions."""

from headatlas.cogvsr import CogVSR
from headatlas.cogvsr.functions import TASK
from headatlas.study.continuing import GIVEN
from headatlas.study.settings import make_settings
from headatlas.study.stages import run_stage
from headatlas.study.study import Study


def test_questions_without_functions_have_accuracies_and_no_spatial_score(tiny_vlm, tiny_questions, tmp_path):
    def unnamed(question):
        return question.model_copy(update={"steps": tuple(s.model_copy(update={"kind": TASK}) for s in question.steps)})

    data = CogVSR.from_questions([unnamed(question) for question in tiny_questions])
    settings = make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}", n_bootstrap=100)
    study = Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data)
    assert run_stage(study, "data")
    assert run_stage(study, "evaluate")
    assert study.one_task
    assert len(study.run.read_table("baseline"))
    assert not len(study.run.read_table("metrics"))
