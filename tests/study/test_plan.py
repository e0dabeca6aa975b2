import pytest

from headatlas.cogvsr import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.study import make_settings
from headatlas.study.continuing import GIVEN
from headatlas.study.plan import _stages, plan
from headatlas.study.stages import STAGES
from headatlas.study.study import Study


@pytest.fixture(scope="module")
def data(tiny_questions):
    return CogVSR.from_questions(tiny_questions)


def opened(out, vlm, data, **options):
    chosen = make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}", quick=True, **options)
    return Study(chosen, out, vlm=vlm, data=data)


@pytest.fixture(scope="module")
def made(tiny_vlm, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("plan") / "run"
    found = plan(opened(out, tiny_vlm, data))
    assert not out.exists(), "a plan must write nothing"
    return found


def test_every_stage_has_a_cost_or_says_that_it_has_none(made):
    assert [stage.name for stage in made.stages] == list(STAGES)
    assert (made.table["seconds"] > 0).sum() >= 10
    assert made.seconds == pytest.approx(made.table["seconds"].sum())
    assert made.memory > 2**20
    assert made.disk > 0
    assert "pictures" in str(made)
    assert len(str(made).splitlines()) < 30


def test_more_work_costs_more(made, tiny_vlm, data, tmp_path):
    def seconds(**options):
        study = opened(tmp_path / "run", tiny_vlm, data, **options)
        return {name: cost for name, _, cost in _stages(study, made.speed, made.questions, {"P": 9, "S": 9})}

    few, many = seconds(), seconds(n_random=5000)
    assert many["ablate"] > 5 * few["ablate"]
    assert many["evaluate"] == few["evaluate"]


def test_too_few_pictures_are_refused_without_the_model(tiny_questions, tmp_path):
    few = CogVSR.from_questions([question for question in tiny_questions if question.id != "q7"])
    study = opened(tmp_path / "run", None, few)
    with pytest.raises(HeadAtlasError, match="E has 1 and needs 2"):
        plan(study)
