import json

import pytest

from headatlas.cogvsr import load
from headatlas.cogvsr.export import export
from headatlas.cogvsr.export.cogqa import _step
from headatlas.cogvsr.schema import Step
from headatlas.importing import import_dataset


def test_the_published_form(data, tmp_path):
    records = json.loads((export(data, "cogqa", tmp_path / "out") / "cogqa.json").read_text())
    assert len(records) == 6
    first = records[0]
    assert first["question"] == "is the dog left of the star? (0)"
    step = first["generated"][0]
    assert (step["subquestion"], step["answer"], step["cognitive_skill"]) == (
        "which column is the dog in?",
        2,
        "Spatial perception",
    )
    assert first["generated"][1]["cognitive_skill"] == "Decision-making"
    assert (tmp_path / "out" / first["images"][0]).is_file()


def test_what_went_out_comes_in(data, tmp_path):
    export(data, "cogqa", tmp_path / "out")
    report = import_dataset("cogqa", tmp_path / "out", tmp_path / "back")
    assert (report.questions, report.left_out, report.missing) == (6, [], [])
    before = {q.text: q for q in data.without_images()}
    for question in load(tmp_path / "back"):
        old = before[question.text]
        assert question.options == old.options
        assert (question.answer, question.answer_type) == (old.answer, old.answer_type)
        assert [step.model_dump(exclude={"boxes"}) for step in question.steps] == [
            step.model_dump(exclude={"boxes"}) for step in old.steps
        ]


@pytest.mark.parametrize(
    ("answer", "written"), [("2", 2), ("-2", -2), ("\u00b2", "\u00b2"), ("--5", "--5"), ("02", "02")]
)
def test_only_whole_numbers_become_numbers(answer, written):
    step = Step(text="how many?", answer=answer, answer_type="number", functions=("math_reasoning",))
    assert _step(step)["answer"] == written
