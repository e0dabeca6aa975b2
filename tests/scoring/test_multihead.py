"""A6 gives each head its share of the damage of ablating many heads."""

from types import SimpleNamespace

import numpy as np
import pytest

from headatlas.cluster import Local
from headatlas.engine.rerun import UnreadableScopeError
from headatlas.errors import HeadAtlasError
from headatlas.scoring import damage_readings, multihead
from headatlas.scoring.base import ScoringInputs, UnscorableError, get_scorer, scorers


class Data(list):
    def split(self, name):
        return Data(q for q in self if q.split == name)


class Activations:
    steps, tokens = None, ("gold",)

    def z(self, tokens, rows=None):
        raise AssertionError


def test_it_is_a_scorer():
    assert "multihead" in scorers()


def test_a_model_and_enough_subsets_are_needed():
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("multihead")(ScoringInputs(Activations()))
    with pytest.raises(HeadAtlasError, match="screens and halves must be 24 or more"):
        get_scorer("multihead")(ScoringInputs(Activations(), vlm=object(), data=object()), halves=5)


def test_on_a_real_model(tiny_vlm, tiny_questions):
    data = Data(tiny_questions)
    inputs = ScoringInputs(Activations(), vlm=tiny_vlm, data=data, n_null=50)
    made = get_scorer("multihead")(inputs, operation="zero", halves=24)
    assert made.shape == (2, 4)
    assert made.info["screens"] == 48  # six a head: with fewer, noise decides which heads are the backbone
    assert made.info["questions"] == len(data.split("S"))
    assert 0 <= made.info["mass"] <= 1
    for name in made.info["backbone"]:
        layer, head = int(name[1]), int(name[-1])
        assert (made.pvalues[:, layer, head] == 1).all()
        assert (made.values[:, layer, head] == 0).all()
    for name, groups in made.info["groups"].items():
        assert len(groups) == len(made.info["damage"][name])
        assert not {head for group in groups for head in group} & set(made.info["backbone"])
        for group, damage in zip(groups, made.info["damage"][name], strict=True):
            assert damage["joint"] > sum(damage["single"])
            assert set(group) <= set(made.info["stand_ins"][name])
            assert len(damage["share"]) == len(damage["single"]) == len(group)
    again = get_scorer("multihead")(inputs, operation="zero", halves=24, workers=Local())
    np.testing.assert_array_equal(again.values, made.values)
    assert again.info["damage"] == made.info["damage"]


def test_one_task_has_no_backbone_to_be_told_from(tiny_vlm, tiny_questions):
    one = {"functions": ("spatial_perception",)}
    steps = [q.model_copy(update={"steps": tuple(s.model_copy(update=one) for s in q.steps)}) for q in tiny_questions]

    inputs = ScoringInputs(Activations(), vlm=tiny_vlm, data=Data(steps))
    with pytest.raises(UnscorableError, match=r"at least 3 functions.* have 1"):
        get_scorer("multihead")(inputs, operation="zero")


def test_the_screen_is_read_in_the_given_scope_where_single_positions_cannot_be():
    scopes = []

    def sweep(vlm, chats, conditions, scope, *_):
        scopes.append(scope)
        if scope == "answer":
            raise UnreadableScopeError("its blocks cannot be resumed")
        steps = np.zeros((len(conditions) + 1, 3))
        return SimpleNamespace(valid=steps, logprob=steps[1:], bare=(steps[0],))

    readings = damage_readings.DamageReadings.__new__(damage_readings.DamageReadings)
    readings._sweep = sweep
    readings.inputs = SimpleNamespace(vlm=None, report=None)
    readings._operation, readings._means, readings._scope, readings._batch_size = "zero", None, "all", 4
    readings._chats, readings._valid, readings._heads = [], [], 4
    assert readings.screened(np.ones((2, 8), bool))[0].shape == (2, 3)
    assert scopes == ["answer", "all"]


def test_a_head_that_takes_the_form_of_the_answer_with_it_is_scored(tiny_vlm, tiny_questions, monkeypatch):
    """Head L1.H2 costs spatial steps 2 nats, all of them form; head L0.H1 costs every step 1 nat."""

    class Form(damage_readings.DamageReadings):
        def damage(self, masks, scope=None):
            masks = np.asarray(list(masks))
            spatial = (self.table["function"] == "spatial_perception").to_numpy(float)
            form = 2.0 * masks[:, 6, None] * spatial[None] + masks[:, 1, None]
            return np.zeros_like(form), form, np.exp(-form), form

    monkeypatch.setattr(multihead, "DamageReadings", Form)
    zeros = np.zeros(tiny_vlm.heads.dims("L"), np.float32)
    made = get_scorer("multihead")(ScoringInputs(Activations(), vlm=tiny_vlm, data=Data(tiny_questions)), means=zeros)
    values = made.of("spatial_perception")
    assert made.info["backbone"] == ["L0.H1"]
    assert values[1, 2] == pytest.approx(2.0, abs=0.1)
    assert np.delete(values.ravel(), 6) == pytest.approx(np.zeros(7), abs=0.1)
    assert made.arrays["among"].max() == 0


def test_a_head_that_does_the_work_without_the_stand_ins_is_one_of_them():
    """Any of three heads is enough: without two, the third costs all. A fourth costs the same in any case: it is no stand-in."""
    steps = np.random.default_rng(0).uniform(0.5, 1.5, 20)

    class Readings:
        inputs, table = SimpleNamespace(seed=0), None

        def damage(self, masks):
            lost = np.array([mask[[0, 1, 2]].all() + 0.3 * mask[3] for mask in masks])[:, None] * steps
            return lost, np.zeros_like(lost), np.ones_like(lost), lost

        def joint(self, sets, rows):
            raise AssertionError

    alone = np.zeros((6, 20))
    alone[3] = 0.3 * steps
    every, scene = np.ones(20, bool), np.arange(20)
    completed = multihead._completed(np.array([0, 1]), np.arange(5), Readings(), every, alone, scene)
    assert completed.tolist() == [0, 1, 2]
    assert multihead._completed(np.array([0]), np.arange(5), Readings(), every, alone, scene).tolist() == [0]
