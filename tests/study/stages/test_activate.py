"""The stages `activate` (ways of showing the picture) and `methods` (what acts on heads)."""

from types import SimpleNamespace

import pandas as pd
import pytest

from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.heads import HeadSet
from headatlas.results import RESULTS
from headatlas.study.settings import make_settings
from headatlas.study.stages import activate, methods
from headatlas.study.study import Study


def answers(right):
    rows = [
        {
            "question": f"q{q}", "step": 0, "n_steps": 1, "function": "spatial_perception", "correct": right,
            "unparsable": False,
        }
        for q in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def study(tmp_path, tiny_questions):
    """A `Study` that has only what the stages ask of it."""
    written = {}
    car = SceneObject(id=0, cls="car", box=Box(x0=0.1, y0=0.1, x1=0.4, y1=0.4))
    boxed = [tiny_questions[0].model_copy(update={"objects": (car,)})]
    study = Study.__new__(Study)
    vars(study).update(
        settings=make_settings("ref-llava", quick=True),
        runner=lambda: SimpleNamespace(
            run_many=lambda conditions, split, progress: [answers(condition.arm == "boxes") for condition in conditions]
        ),
        run=SimpleNamespace(root=tmp_path, write_table=written.__setitem__),
        head_set=lambda function, scorer: HeadSet("L0.H1"),
        atlas=SimpleNamespace(scores={}),
        data=SimpleNamespace(split=lambda name: boxed),
        shows=lambda arm: True,
        report=lambda *parts: None,
        written=written,
    )
    return study


def test_every_arm_is_compared_with_its_control(study):
    activate.run(study)
    table = study.written["activation"].set_index(["arm", "group"])
    assert table.loc[("boxes", "spatial"), ["gain", "control", "beyond"]].tolist() == [1.0, "random_boxes", 1.0]
    assert table.loc[("added_boxes+mask", "spatial"), "control"] == "added_random_boxes"


def test_without_methods_their_tables_are_empty_and_old_recipes_go(study):
    (study.run.root / "recipes" / "gain.recipe").mkdir(parents=True)
    methods.run(study)
    written = {"methods", "method_gains", "method_controls", "method_strengths", "latent", "recruitment"}
    assert set(study.written) == written
    assert all(table.equals(RESULTS[name].empty()) for name, table in study.written.items())
    assert not (study.run.root / "recipes").exists()


def test_which_methods_a_study_judges_is_a_setting():
    assert make_settings("ref-llava").methods == ("gain",)
    assert make_settings("ref-llava", quick=True).methods == ()
    assert "lora" in make_settings("ref-llava", methods="all").methods
    assert make_settings("ref-llava", methods="none").methods == ()
    assert make_settings("ref-llava", detector="file:boxes.jsonl").detector == "file:boxes.jsonl"
    with pytest.raises(Exception, match="'methods': method must be one of"):
        make_settings("ref-llava", methods="gian")
