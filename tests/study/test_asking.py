"""Questions and ways of showing them that the model's processor refuses: they are listed and left out, and the run continues."""

import pandas as pd
import pytest

from headatlas.activations import Activations
from headatlas.cogvsr import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.report.sections.task import task_section
from headatlas.report.tables import read_run
from headatlas.study import make_settings
from headatlas.study import study as study_module
from headatlas.study.asking import find_left_out
from headatlas.study.continuing import GIVEN
from headatlas.study.stages import run_stage
from headatlas.study.study import Study
from headatlas.vlm.evaluate import evaluate


def with_image_token(question):
    return question.model_copy(update={"text": f"{question.text} <image>"})


@pytest.fixture(scope="module")
def data(tiny_questions):
    """The eight questions; the last of split E and one of split P name the family's own image token."""
    return CogVSR.from_questions([with_image_token(q) if q.id in ("q1", "q7") else q for q in tiny_questions])


def odd_only_as(question):
    """An arm in which one question cannot be asked."""
    return question.images, "<image>" if question.id == "q6" else ""


def never(question):
    return question.images, "<image>"


def test_questions_and_arms_are_told_apart(tiny_vlm, data):
    found = find_left_out(tiny_vlm, data, {"odd": odd_only_as, "blind": lambda q: ((), "")})
    assert list(zip(found["what"], found["name"], found["split"], strict=True)) == [
        ("question", "q1", "P"),
        ("question", "q7", "E"),
        ("arm", "odd", "E"),  # of split E only q6 is left
    ]
    assert found["reason"].str.contains("special tokens").all()


def test_a_question_that_one_arm_refuses_is_left_out_of_all(tiny_vlm, tiny_questions):
    found = find_left_out(tiny_vlm, CogVSR.from_questions(tiny_questions), {"odd": odd_only_as})
    assert found[["what", "name"]].to_numpy().tolist() == [["question", "q6"]]
    assert found["reason"].item().endswith("shown as odd")


def test_a_model_that_fails_without_an_image_is_said_to(tiny_vlm, tiny_questions, monkeypatch):
    forward = type(tiny_vlm.model).forward

    def needs_image(self, *args, pixel_values=None, **kwargs):
        if pixel_values is None:
            raise TypeError("pixel_values are needed")
        return forward(self, *args, pixel_values=pixel_values, **kwargs)

    monkeypatch.setattr(type(tiny_vlm.model), "forward", needs_image)
    found = find_left_out(tiny_vlm, CogVSR.from_questions(tiny_questions), {"no_image": lambda q: ((), "")})
    assert found[["what", "name"]].to_numpy().tolist() == [["arm", "no_image"]]
    assert "pixel_values are needed" in found["reason"].item()


def test_a_study_goes_on_without_them_and_lists_them(tiny_vlm, data, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(study_module.NO_IMAGE.__class__, "__call__", lambda self, question: never(question))
    settings = make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}", n_bootstrap=100)
    study = Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data)
    for name in ("data", "evaluate", "capture"):
        assert run_stage(study, name)
    assert "left out: question 'q7'" in caplog.text
    listed = pd.read_csv(tmp_path / "run" / "results" / "left_out.csv")
    assert set(listed["name"]) == {"q1", "q7", "no_image"}
    assert set(Activations.open(tmp_path / "run" / "capture").steps["question"]) == set(data.ids) - {"q1", "q7"}
    baseline = study.run.read_table("baseline")
    assert set(baseline["context"]) == {"gold", "own"}
    alone = evaluate(tiny_vlm, [q for q in data if q.id == "q6"], mode="generate", batch_size=16)
    gold = baseline[(baseline["context"] == "gold") & (baseline["group_kind"] == "function")]
    assert gold["n"].sum() >= len(alone)
    final = baseline[(baseline["context"] == "gold") & (baseline["group_kind"] == "final")]
    assert final["n"].item() == 1
    assert final["accuracy"].item() == alone["correct"].iloc[-1]
    assert set(study.run.read_table("metrics")["metric"]) == {"SS", "SS_chance_corrected", "SS_chain"}
    # A later command reads the same questions, and the report names them.
    again = Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data)
    assert (again.data.ids, len(again.whole)) == (study.data.ids, 8)
    assert not run_stage(again, "evaluate")
    note, table = task_section(read_run(tmp_path / "run")).blocks[:2]
    assert "2 questions are left out of all numbers" in note.text
    assert "no image" in note.text
    assert {row[0] for row in table.rows} == {"q1", "q7", "no_image"}


def test_a_split_that_cannot_be_asked_at_all_starts_no_run(tiny_vlm, tiny_questions, tmp_path):
    data = CogVSR.from_questions([with_image_token(q) if q.split == "T" else q for q in tiny_questions])
    settings = make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}")
    with pytest.raises(HeadAtlasError, match="no question of split T: question 'q4': "):
        run_stage(Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data), "data")
    assert not (tmp_path / "run").exists()
