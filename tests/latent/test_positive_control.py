"""The positive control, on ref-llava: a known solution restores everything, a method that does nothing restores nothing."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, scale
from headatlas.latent import METHODS, Cost, MethodInputs, choose_faint, positive_control
from headatlas.latent.positive_control import FACTOR, LEAST_LOSS, restored
from headatlas.results import validate
from headatlas.scoring import Scores

FAINT = HeadSet("L4.H1 L4.H2 L4.H3 L4.H4 L5.H0 L5.H1 L5.H2 L5.H3 L5.H5 L5.H6")


@dataclass
class Fixed:
    """Scales given heads by a given factor."""

    factor: float
    name: str
    controls: tuple[str, ...] = ("random_heads",)
    heads: HeadSet = FAINT
    now: HeadSet = field(default_factory=lambda: FAINT)
    cost = Cost(parameters=1)

    def fit(self, inputs):
        self.now = inputs.spatial_heads if inputs.control == "random_heads" else FAINT

    def tune(self, inputs):
        pass

    @contextmanager
    def applied(self, vlm):
        with vlm.edit(scale(self.now, self.factor)):
            yield None


@pytest.fixture(scope="module")
def vlm():
    return ha.load_vlm("ref-llava", device="cpu")


@pytest.fixture(scope="module")
def inputs(vlm):
    return MethodInputs(vlm, ha.cogvsr.load("scenes", n=200, seed=3), None, {})


def test_a_known_cure_restores_everything_and_nothing_restores_nothing(vlm, inputs, monkeypatch):
    for name, factor in (("cure", 1 / FACTOR), ("same", 1.0)):
        monkeypatch.setitem(METHODS._things, name, lambda name=name, factor=factor: Fixed(factor, name))
    questions = list(inputs.data.split("E"))
    intact = ha.evaluate(vlm, questions)
    state = {k: v.clone() for k, v in vlm.model.state_dict().items()}
    table = validate("positive_control", positive_control(inputs, ["cure", "same"], FAINT, intact, n_boot=500))
    assert all(torch.equal(v, state[k]) for k, v in vlm.model.state_dict().items())
    cure, same = (table[table["method"] == name].iloc[0] for name in ("cure", "same"))
    assert cure["intact"] - cure["before"] > 15
    assert cure["after"] == pytest.approx(cure["intact"], abs=0.5)
    assert cure["restored"] == pytest.approx(1.0, abs=0.02)
    assert cure["helps"]
    assert (cure["n_found"], cure["n_changed"], cure["n_heads"]) == (10, 10, 10)
    assert same["restored"] == same["gain"] == 0
    assert not same["helps"]


def test_the_set_that_costs_most_is_chosen(vlm, inputs):
    """One ranking names the ten looking heads, and another others."""
    values = np.zeros((2, 8, *vlm.heads.shape))
    values[0, :2], values[1, :2] = HeadSet("L0.H0 L0.H1 L0.H2 L0.H3").mask(vlm.heads.shape), FAINT.mask(vlm.heads.shape)
    scores = {name: Scores(name, values[i]) for i, name in enumerate(("first", "looking"))}
    found = choose_faint(inputs, scores, sizes=(4, 10, 12))
    assert found.heads, found.reason
    before, before_other = found.tried["", 0]
    lost = {
        key: before - score
        for key, (score, other) in found.tried.items()
        if before_other - other <= (before - score) / 2
    }
    name, size = max(lost, key=lost.__getitem__)
    score, other = found.tried[name, size]
    assert name == "looking"
    assert len(set(found.heads) & set(FAINT)) >= min(10, size)
    assert size == len(found.heads)
    assert before - score >= LEAST_LOSS
    assert before_other - other <= (before - score) / 2
    # Heads that cost others as much are taken only where no specific set is offered.
    other = choose_faint(inputs, {"first": scores["first"]}, sizes=(4,))
    fallen = [before - after for before, after in zip(other.tried["", 0], other.tried["first", 4], strict=True)]
    assert fallen[1] > fallen[0] / 2, "this set is to be an unspecific one"
    assert bool(other.heads) == (fallen[0] >= LEAST_LOSS and fallen[0] > fallen[1])
    assert name != "first"
    none = choose_faint(inputs, scores, sizes=())
    assert not none.heads
    assert "no set of up to 0 heads" in none.reason
    with pytest.raises(HeadAtlasError, match="factor must be above 0"):
        choose_faint(inputs, scores, 0.7)


def test_restored_is_the_share_of_what_was_lost():
    def table(right):
        names = ["spatial_perception"] * 4 + ["relational_reasoning"] * 2
        return pd.DataFrame(
            {
                "question": [f"q{i}" for i in range(6)], "step": 0, "n_steps": 1, "scene": [f"s{i}" for i in range(6)],
                "function": names, "correct": np.array(right, bool),
            }
        )  # fmt: skip

    intact, before = table([1, 1, 1, 1, 1, 1]), table([0, 0, 1, 1, 0, 1])
    # Lost: 2 of 4 and 1 of 2, so 0.5 of the mean of both functions; won: 1 of 4, so 0.125.
    assert restored(intact, before, table([1, 0, 1, 1, 0, 1])).value == pytest.approx(0.25)
    assert restored(intact, before, intact).value == pytest.approx(1.0)
    assert np.isnan(restored(before, before, intact).value)


def test_no_heads_are_refused(inputs):
    with pytest.raises(HeadAtlasError, match="at least one head"):
        positive_control(inputs, ["gain"], HeadSet(()), pd.DataFrame())
