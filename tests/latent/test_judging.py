"""Verdicts on methods: gains, controls, corrections; on a tiny model whose answers are made."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.latent import METHODS, Cost, judge, judging, method
from headatlas.latent.judging import matched_heads
from headatlas.latent.method_tables import Answered, score_change
from headatlas.results import validate

FUNCTIONS = ("spatial_perception", "relational_reasoning", "math_reasoning")


def answers(right):
    """60 scenes of three steps; `right(scene, function)` says which are right."""
    rows = [
        {
            "question": f"q{q}", "step": k, "n_steps": 3, "scene": f"s{q}", "function": function, "functions": function,
            "family": "left_right", "correct": bool(right(q, function)), "unparsable": False, "logprob": -1.0,
        }
        for q in range(60)
        for k, function in enumerate(FUNCTIONS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@dataclass
class Made:
    """A method whose answers are given: as itself, and as a control."""

    name: str = "made"
    controls: tuple[str, ...] = ("shuffled", "all_heads")
    own: float = 0.9
    control: float = 0.5
    now: float = 0.0
    heads = HeadSet("L0.H1")
    cost = Cost(parameters=3)

    def fit(self, inputs):
        self.now = self.control if inputs.control == "shuffled" else self.own

    def tune(self, inputs):
        pass

    @contextmanager
    def applied(self, vlm):
        level = vlm.level
        vlm.level = self.now
        try:
            yield None
        finally:
            vlm.level = level


@pytest.fixture
def judged(inputs, monkeypatch):
    """`judge` of made methods, given by name with their own and their control's accuracy on spatial steps; half of the bare
    model's are right."""

    class Vlm:
        level = 0.5
        heads = inputs.vlm.heads
        model = inputs.vlm.model
        device = inputs.vlm.device

        @contextmanager
        def edit(self):
            yield self

        def reading_again(self):
            return nullcontext()

    def evaluate(vlm, questions, **options):
        return answers(lambda q, f: q % 20 < 20 * vlm.level if f != "math_reasoning" else q % 10 < 9)

    monkeypatch.setattr(judging, "evaluate", evaluate)

    def run(**levels):
        for name, (own, control) in levels.items():
            method(name)(lambda name=name, own=own, control=control: Made(name, own=own, control=control))
        try:
            return judge(replace(inputs, vlm=Vlm()), levels, draws=2, n_boot=500)
        finally:
            for name in levels:
                METHODS.remove(name)

    return run


def test_a_method_helps_if_it_gains_more_than_its_controls(judged):
    found = judged(good=(0.9, 0.5), everywhere=(0.9, 0.9), worse=(0.2, 0.5), idle=(0.5, 0.5))
    for name, table in found.tables.items():
        validate(name, table)
    rows = found.tables["methods"].set_index("method")
    assert found.helping == ["good"]
    assert rows.loc["good", ["before", "after", "gain", "parameters", "n"]].tolist() == pytest.approx(
        [50, 90, 40, 3, 120]
    )
    assert "its control shuffled gains 40.0 points; the method gains 0.0 more" in rows.loc["everywhere", "reason"]
    assert "includes 0" in rows.loc["idle", "reason"]
    assert rows.loc["worse", "gain"] == pytest.approx(-30)
    controls = found.tables["method_controls"].set_index(["method", "control"])
    assert set(controls.index.get_level_values("method")) == {"good", "everywhere"}, "no others can help"
    assert controls.loc[("good", "shuffled"), ["draws", "gain", "beyond"]].tolist() == pytest.approx([2, 0, 0.4])
    assert not controls.loc[("good", "all_heads"), "beaten"], "all heads do as well, which need not be beaten"
    gains = found.tables["method_gains"].set_index(["method", "context", "group"])
    assert gains.loc[("good", "own", "final"), "gain"] == 0
    assert gains.loc[("good", "gold", "type:left_right"), "gain"] == pytest.approx(0.8 / 3)


def test_a_method_that_did_nothing_says_why(judged, monkeypatch):
    monkeypatch.setattr(Made, "reason", "no heads are chosen", raising=False)
    found = judged(good=(0.9, 0.5))
    assert found.tables["methods"]["reason"].tolist() == ["no heads are chosen"]


def test_questions_are_refused_that_cannot_judge(inputs):
    with pytest.raises(HeadAtlasError, match="draws must be >= 1"):
        judge(inputs, [], draws=0)
    with pytest.raises(HeadAtlasError, match="method"):
        judge(inputs, ["gian"])


def test_the_score_is_the_mean_of_both_functions_and_scenes_are_drawn():
    before = answers(lambda q, f: False)
    after = answers(lambda q, f: f == "spatial_perception")
    assert score_change(before, after, n_boot=100).value == 0.5
    assert score_change(before, after, (before["function"] == "math_reasoning").to_numpy(), 100).value == 0


def test_random_heads_are_others_of_the_same_layer_or_the_nearest():
    chosen = HeadSet("L1.H0 L1.H1 L1.H2 L2.H0")
    drawn = matched_heads(chosen, (4, 4), np.random.default_rng(0))
    assert len(drawn) == 4
    assert not set(drawn) & set(chosen)
    assert Head(1, 3) in drawn
    assert {head.layer for head in drawn} <= {0, 1, 2}
    assert len(matched_heads(HeadSet("L0.H0 L0.H1 L0.H2"), (1, 4), np.random.default_rng(0))) == 1


def test_answers_of_a_method_keep_both_contexts_and_their_cost():
    gold, own = pd.DataFrame({"correct": [True]}), pd.DataFrame({"correct": [False]})
    run = Answered(gold, own, 2.0, 3.0).by(Made("mine", own=0.5, control=0.5))
    assert run.gold is gold
    assert run.own is own
    assert (run.seconds, run.memory, run.method.name) == (2.0, 3.0, "mine")


def test_answers_of_the_unchanged_model_are_shared_within_one_judgement_alone(inputs):
    own = replace(inputs, shared={})
    control = replace(own, control="shuffled", seed=5)
    assert control.bare_answers() is own.bare_answers()
    pd.testing.assert_frame_equal(inputs.bare_answers(), own.bare_answers())
    assert inputs.bare_answers() is not inputs.bare_answers()
    assert inputs.shared is None
