"""Properties of every activation method, on a tiny model."""

from dataclasses import replace

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.latent import METHODS, Method, method_names
from headatlas.latent.judging import control_inputs
from headatlas.vlm import evaluate
from headatlas.vlm.identity import weights_digest

NAMES = tuple(METHODS)
FORCED = {
    "gain": {"strength": 1.0},
    "gates": {"strength": 1.0},
    "lora": {"strength": 1.0},
    "attention_scaling": {"weights": (0.2, 5.0)},
    "attention_scaling_heads": {"weights": (0.2, 5.0)},
    "gaze": {"beta": 6.0},
    "sinks": {"share": 0.9},
    "steering": {"alpha": 30.0},
    "conditional_steering": {"alpha": 30.0},
    "function_vector": {"strength": 30.0},
    "spatial_id": {"layer": 1, "length": 5.0},
}
"""A strength of each method at which it must change something, whatever split T says."""
OPTIONS = {
    "sinks": {"limit": 1.8, "image_mass": 0.0},
    "gain": {"steps": 3, "lr": 1.0, "pull": 0.0},
    "gates": {"steps": 3, "lr": 3.0, "pull": -1.0},
    "lora": {"steps": 3},
    "steering": {"min_each": 1},
    "conditional_steering": {"min_each": 1},
}
"""What makes each method do something with a handful of questions."""


def fitted(name, inputs):
    method = METHODS[name](**OPTIONS.get(name, {}))
    method.fit(inputs)
    for key, value in FORCED.get(name, {}).items():
        setattr(method, key, value)
    return method


def test_the_issues_methods_are_there():
    assert {"sha", *FORCED} == set(NAMES)
    assert method_names("all") == NAMES
    assert method_names("none") == ()
    assert method_names("gain, lora,gain") == ("gain", "lora")
    with pytest.raises(HeadAtlasError, match="method"):
        method_names("gains")


@pytest.mark.parametrize("name", NAMES)
def test_it_changes_answers_inside_the_block_alone(name, inputs):
    vlm, questions = inputs.vlm, list(inputs.data.split("E"))
    digest, before = weights_digest(vlm.model), evaluate(vlm, questions)["logprob"]
    method = fitted(name, inputs)
    assert isinstance(method, Method)
    assert not getattr(method, "reason", ""), method.reason
    assert weights_digest(vlm.model) == digest, "fitting left the weights as they were"
    with method.applied(vlm) as arm:
        inside = evaluate(vlm, questions, arm=arm)["logprob"]
        own = evaluate(vlm, questions, mode="generate", context="own", arm=arm)
    assert (inside - before).abs().max() > 1e-3
    assert len(own) == len(before)
    assert (evaluate(vlm, questions)["logprob"] == before).all()
    assert weights_digest(vlm.model) == digest
    assert not vlm.edited


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_inside_the_block_leaves_the_model_as_it_was(name, inputs):
    vlm = inputs.vlm
    digest, names = weights_digest(vlm.model), [name for name, _ in vlm.model.named_modules()]
    method = fitted(name, inputs)
    with pytest.raises(ZeroDivisionError), method.applied(vlm):
        raise ZeroDivisionError
    assert weights_digest(vlm.model) == digest
    assert [name for name, _ in vlm.model.named_modules()] == names
    assert not vlm.edited


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_made_into_each_of_its_controls(name, inputs):
    method = fitted(name, inputs)
    for kind in method.controls:
        for some in control_inputs(inputs, method, kind, 1):
            control = fitted(name, some)
            # A control may find nothing to change: it then gains nothing.
            assert not getattr(control, "reason", "") or kind in ("shuffled", "random_heads"), (kind, control.reason)
            if kind == "random_heads":  # others than the method's
                assert not set(control.heads) & set(method.heads)
            with control.applied(inputs.vlm) as arm:
                evaluate(inputs.vlm, list(inputs.data.split("T")), arm=arm)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_tuned_on_split_t_and_never_sees_e(name, inputs):
    class Watched:
        def __init__(self, data):
            self.data, self.asked = data, set()

        def split(self, name):
            self.asked.add(name)
            return self.data.split(name)

    watched = Watched(inputs.data)
    method = METHODS[name](**OPTIONS.get(name, {}))
    method.fit(replace(inputs, data=watched))
    method.tune(replace(inputs, data=watched))
    assert watched.asked <= {"P", "T"}
    strengths = getattr(method, "strengths", [])
    assert sum(one.chosen for one in strengths) == bool(strengths)
    with pytest.raises(HeadAtlasError, match="split P and tuned on split T"):
        inputs.questions("E")
