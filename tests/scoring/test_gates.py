"""A4 finds small sets of heads by gates that differ from conversation to conversation."""

import numpy as np
import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, mean
from headatlas.scoring import gates as gates_module
from headatlas.scoring.base import ScoringInputs, UnscorableError, get_scorer
from headatlas.scoring.functional import by_effect
from headatlas.scoring.gates import gated
from headatlas.vlm import conversation, encode
from headatlas.vlm.loss import answer_logits


class Data(list):
    def split(self, name):
        return Data(q for q in self if q.split == name)


class Activations:
    steps, tokens = None, ("all",)

    def z(self, tokens, rows=None):
        raise AssertionError


@pytest.fixture
def means(tiny_vlm):
    return np.random.default_rng(0).normal(size=tiny_vlm.heads.dims("L")).astype(np.float32)


def test_every_row_has_its_own_gates(tiny_vlm, tiny_questions, means):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions[:3]])
    opened = torch.ones(3, *tiny_vlm.heads.shape)
    opened[1, 0, 2] = 0.0
    with torch.no_grad():
        bare = answer_logits(tiny_vlm, batch)
        with tiny_vlm.edit(mean(HeadSet([Head(0, 2)]), means)):
            ablated = answer_logits(tiny_vlm, batch)
        with gated(tiny_vlm, opened, torch.from_numpy(means)):
            made = answer_logits(tiny_vlm, batch)
    row = torch.tensor([r for r, spans in enumerate(batch.spans) for start, end in spans for _ in range(start, end)])
    torch.testing.assert_close(made.logits[row != 1], bare.logits[row != 1])
    torch.testing.assert_close(made.logits[row == 1], ablated.logits[row == 1])
    assert not torch.allclose(ablated.logits[row == 1], bare.logits[row == 1], atol=1e-3)


def test_gates_of_another_batch_are_refused(tiny_vlm, tiny_questions, means):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions[:3]])
    opened = torch.ones(2, *tiny_vlm.heads.shape)
    with pytest.raises(HeadAtlasError, match="with 2 rows"), gated(tiny_vlm, opened, torch.from_numpy(means)):
        answer_logits(tiny_vlm, batch)


@pytest.mark.parametrize("name", ["gates", "gates_keeping"])
def test_on_a_real_model(tiny_vlm, tiny_questions, means, name):
    inputs = ScoringInputs(Activations(), vlm=tiny_vlm, data=Data(tiny_questions), n_null=20)
    before = {key: value.clone() for key, value in tiny_vlm.model.state_dict().items()}
    options = {"means": means, "steps": 3, "seeds": 2, "batch_size": 4}
    made = get_scorer(name)(inputs, **options)
    assert made.shape == (2, 4)
    assert made.pvalues is not None
    assert made.per_sample is not None
    outside = np.ones(made.values.shape, bool)
    for c, heads in enumerate(made.info["sets"].values()):
        for head in heads:
            layer, number = int(head[1]), int(head[-1])
            assert made.arrays["probability"][c, layer, number] >= 0.5
            outside[c, layer, number] = False
    assert (made.values[outside] == 0).all()
    assert (made.pvalues[outside] == 1).all()
    assert (made.arrays["probability"] >= 0).all()
    assert (made.arrays["probability"] <= 1).all()
    assert -1 <= made.info["agreement"] <= 1
    np.testing.assert_allclose(
        made.per_sample.mean(), made.values, atol=1e-6
    )  # what the selector's bounds are computed from
    assert not (made.arrays["low"] > made.arrays["high"]).any()  # NaN with a single scene
    assert set(by_effect(made, "spatial_perception")) <= set(HeadSet(made.info["sets"]["spatial_perception"]))
    assert not any(parameter.grad is not None for parameter in tiny_vlm.model.parameters())
    for key, value in tiny_vlm.model.state_dict().items():
        assert torch.equal(value, before[key])
    again = get_scorer(name)(inputs, **options)
    np.testing.assert_array_equal(again.values, made.values)


def test_a_head_is_scored_by_what_the_set_costs_without_it():
    """Either of heads 1 and 2 is enough; head 3 is in the set and does nothing."""

    class Readings:
        inputs, table = None, range(5)

        def joint(self, sets, rows):
            raise AssertionError

        def damage(self, masks):
            lost = np.array([1.0 * mask[[1, 2]].all() + 0.5 * mask[0] for mask in masks])[:, None] * np.ones(5)
            return lost, lost, np.ones_like(lost), lost

    members = np.zeros((2, 4), bool)
    members[0, [1, 2, 3]] = True
    found = gates_module._measured(Readings(), members, np.ones(4, bool), "breaking")
    np.testing.assert_allclose(found[0, 0], [0, 1, 1, 0])
    assert (found[1] == 0).all()
    kept = np.zeros((1, 4), bool)
    kept[0, 1] = True  # 0, 2 and 3 are gone already
    found = gates_module._measured(Readings(), kept, np.ones(4, bool), "keeping")
    np.testing.assert_allclose(found[0, 0], [0, 1, 0, 0])


def test_the_breaking_loss_ends_at_a_guess_and_counts_the_lost_form(tiny_vlm, tiny_questions, means):
    inputs = ScoringInputs(Activations(), vlm=tiny_vlm, data=Data(tiny_questions))
    free = np.ones(tiny_vlm.heads.shape, bool)
    fit = gates_module._Fit(inputs, means, free, np.zeros((8, 8)), "breaking", gates_module._Options(batch_size=4))
    one = fit._batches[0]
    assert one.valid.any(1).all()
    assert (one.before <= 1e-6).all()
    logits = torch.full((8, *tiny_vlm.heads.shape), 50.0)  # all gates open: nothing lost, nothing paid
    loss = fit._loss(logits, one, np.random.default_rng(0), torch.Generator().manual_seed(0), 1.0)
    with torch.no_grad():
        out = answer_logits(tiny_vlm, one.batch)
    among = torch.maximum(-out.nll() - one.before, -one.valid.sum(1).log())
    assert float(among.min()) - 1e-4 <= float(loss) <= 1e-4
    with torch.no_grad():
        closed = fit._loss(-logits, one, np.random.default_rng(0), torch.Generator().manual_seed(0), 1.0)
    least = -float(one.valid.sum(1).max().log()) + 0.02 * tiny_vlm.heads.shape[0] * tiny_vlm.heads.shape[1]
    assert float(closed) >= least - 1e-4


def test_bad_input_is_told_before_anything_runs(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="pass vlm= and data="):
        get_scorer("gates")(ScoringInputs(Activations()))
    inputs = ScoringInputs(Activations(), vlm=object(), data=object())
    with pytest.raises(HeadAtlasError, match="'steps' must be 1 or more, got 0"):
        get_scorer("gates")(inputs, steps=0)
    with pytest.raises(HeadAtlasError, match="'cost' must be above 0, got 0"):
        get_scorer("gates")(inputs, cost=0)
    with pytest.raises(HeadAtlasError, match="got 'step', did you mean 'steps'"):
        get_scorer("gates")(inputs, step=3)
    one = {"functions": ("spatial_perception",)}
    same = [q.model_copy(update={"steps": tuple(s.model_copy(update=one) for s in q.steps)}) for q in tiny_questions]
    zeros = np.zeros(tiny_vlm.heads.dims("L"), np.float32)
    with pytest.raises(UnscorableError, match="at least 3 functions"):
        get_scorer("gates")(ScoringInputs(Activations(), vlm=tiny_vlm, data=Data(same)), means=zeros)
