"""The stage `positive_control`, in a finished study: when it runs, when it is left out, and what it writes."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from headatlas.heads import HeadSet
from headatlas.latent import METHODS, Cost
from headatlas.latent.positive_control import FaintHeads
from headatlas.results import load
from headatlas.study import kept_settings, open_study
from headatlas.study.stages import STAGES
from headatlas.study.stages import positive_control as stage


class Nothing:
    """Changes nothing, and counts how often it is fitted."""

    name, controls, cost, needs = "nothing", (), Cost(), ("heads",)
    fitted = 0

    def fit(self, inputs):
        Nothing.fitted += 1

    def tune(self, inputs):
        pass

    @contextmanager
    def applied(self, vlm):
        yield None


@pytest.fixture
def study(finished, monkeypatch):
    monkeypatch.setitem(METHODS._things, "nothing", Nothing)
    monkeypatch.setattr(Nothing, "fitted", 0)
    looking = HeadSet("L4.H1 L4.H2 L4.H3 L4.H4 L5.H0 L5.H1 L5.H2 L5.H3 L5.H5 L5.H6")
    monkeypatch.setattr(stage, "choose_faint", lambda inputs, scores: FaintHeads(looking, {}))
    made = open_study(kept_settings(finished), finished)
    made.settings = made.settings.model_copy(update={"methods": ("nothing",), "positive_control": True})
    return made


def table(study):
    STAGES["positive_control"].run(study)
    return load(study.run.root / "results", "positive_control")


def test_methods_are_judged_where_heads_are_faint_and_the_weights_come_back(study):
    before = {name: value.clone() for name, value in study.vlm.model.state_dict().items()}
    (row,) = table(study).to_dict("records")
    assert (row["method"], row["n_heads"], row["gain"], row["helps"]) == ("nothing", 10, 0.0, False)
    assert row["lost"] == pytest.approx(row["intact"] - row["before"])
    assert row["lost"] > 0
    assert Nothing.fitted == 1
    assert all(torch.equal(value, before[name]) for name, value in study.vlm.model.state_dict().items())


def test_it_is_left_out_where_it_is_off_or_cannot_be_made(study, monkeypatch, caplog):
    study.settings = study.settings.model_copy(update={"positive_control": False})
    assert table(study).empty
    study.settings = study.settings.model_copy(update={"positive_control": True})
    monkeypatch.setattr(
        stage, "choose_faint", lambda inputs, scores: FaintHeads(HeadSet(()), {}, "no set costs enough")
    )
    assert table(study).empty
    assert "no set costs enough" in caplog.text
    module = study.vlm.heads.tower("L")[0].module
    monkeypatch.setattr(module, "weight", nn.Parameter(torch.empty(4, 4, device="meta")))
    assert table(study).empty
    assert "got offloaded ones" in caplog.text
    assert Nothing.fitted == 0
