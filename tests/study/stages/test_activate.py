"""The stage `activate` runs every registered activation method, also one of another package."""

from contextlib import contextmanager
from types import SimpleNamespace

import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.latent import METHODS, Cost, Method, method
from headatlas.study.stages import activate
from headatlas.study.study import Study


@pytest.fixture
def calls():
    made = []

    @method("louder")
    class Louder:
        name, control, cost = "louder", "original", Cost(parameters=3)

        def fit(self, inputs):
            made.append(("fit", sorted(inputs.heads)[0]))

        def tune(self, inputs):
            made.append(("tune", inputs.seed))

        @contextmanager
        def applied(self, vlm):
            made.append(("applied", vlm))
            yield None
            made.append(("removed", vlm))

    assert isinstance(METHODS["louder"](), Method)
    yield made
    METHODS.remove("louder")


def answers(right):
    rows = [
        {
            "question": f"q{q}",
            "step": 0,
            "n_steps": 1,
            "function": "spatial_perception",
            "correct": right,
            "unparsable": False,
        }
        for q in range(4)
    ]
    return pd.DataFrame(rows)


def fake_study(selected=True):
    """A `Study` that has only what the stage asks of it."""
    written = {}
    study = Study.__new__(Study)
    vars(study).update(
        settings=SimpleNamespace(scorers=("paper",), seed=7, batch_size=2, n_bootstrap=100, detector="ground_truth"),
        runner=lambda: SimpleNamespace(
            run_many=lambda conditions, split, progress: [answers(False) for _ in conditions]
        ),
        run=SimpleNamespace(has_run=lambda stage: selected, root="runs/x", write_table=written.__setitem__),
        head_set=lambda function, scorer: HeadSet(),
        data=SimpleNamespace(split=lambda name: name),
        atlas=SimpleNamespace(scores={"paper": None}),
        acts=SimpleNamespace(steps=pd.DataFrame(), tokens=(), z=lambda tokens, rows=None: None),
        vlm="the model",
        report=lambda *parts: None,
        written=written,
    )
    return study


def test_a_method_from_outside_is_fitted_tuned_applied_and_reported(calls, monkeypatch):
    seen = []
    monkeypatch.setattr(activate, "evaluate", lambda vlm, data, **options: seen.append((vlm, data)) or answers(True))
    study = fake_study()
    activate.run(study)
    assert [name for name, _ in calls] == ["fit", "tune", "applied", "removed"]
    assert seen == [("the model", "E")]
    table = study.written["activation"].set_index(["arm", "group"])
    row = table.loc[("louder", "spatial")]
    assert (row["gain"], row["control"], row["beyond"]) == (1.0, "original", 1.0)
    assert table.loc[("boxes", "spatial"), "control"] == "random_boxes"


def test_a_method_that_needs_heads_says_which_command_is_missing(calls):
    with pytest.raises(HeadAtlasError, match="run `headatlas select --out runs/x` first"):
        activate.run(fake_study(selected=False))
