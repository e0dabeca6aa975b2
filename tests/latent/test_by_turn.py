"""Edits decided turn by turn: answers branched off one bare pass are those of a run of the batch for each turn."""

import pytest
import torch

import headatlas as ha
from headatlas.latent import by_turn
from headatlas.vlm import evaluate
from headatlas.vlm.stack import Unfit

SCALED, LOUDER = (
    [ha.heads.scale_attention(ha.HeadSet("L0.H0 L1.H2"), "image", w) for w in (0.3, 3.0)],
    ha.scale("L0.H1", 3),
)


def evaluated(inputs, choose, edits, places, monkeypatch=None):
    """Log-probabilities of split E; without recorded passes where `monkeypatch` is given."""
    if monkeypatch is not None:
        monkeypatch.setattr(inputs.vlm, "branches", None)
        monkeypatch.setattr(by_turn, "RecordedTurns", unfit)
    with by_turn.around_turns(inputs.vlm, choose, edits, places, "test"):
        return torch.tensor(evaluate(inputs.vlm, inputs.data.split("E"))["logprob"].to_numpy())


def unfit(*args, **kwargs):
    raise Unfit("it is a test")


def by_confidence(bare):
    """The first edits where the model is least confident, the second where it is most; none between."""
    rank = bare.confidences.argsort().argsort().tolist()
    return [0 if r < len(rank) / 3 else 1 if r >= 2 * len(rank) / 3 else -1 for r in rank]


def by_z(bare):
    """Every other answer, by the first value of z."""
    return [0 if r % 2 else -1 for r in bare.z[:, 0, 0, 0].argsort().argsort().tolist()]


@pytest.mark.parametrize(
    ("choose", "edits", "places"),
    [(by_confidence, [[SCALED[0]], [SCALED[1]]], "first"), (by_confidence, [[SCALED[0], LOUDER], [LOUDER]], "answer"),
     (by_z, [[ha.zero("L0.H1 L1.H0")]], "answer")],
)  # fmt: skip
def test_branches_are_the_turns_run_one_by_one(choose, edits, places, inputs, monkeypatch):
    bare = torch.tensor(evaluate(inputs.vlm, inputs.data.split("E"))["logprob"].to_numpy())
    found = evaluated(inputs, choose, edits, places)
    assert inputs.vlm.branches
    slow = evaluated(inputs, choose, edits, places, monkeypatch)
    torch.testing.assert_close(found, slow, atol=1e-4, rtol=1e-4)
    changed = (found - bare).abs() > 1e-3
    assert changed.any()
    assert not changed.all()


def test_a_later_answer_does_not_see_the_edit_of_an_earlier_one(inputs):
    """As in generation, where each step is a prompt of its own."""
    vlm, questions = inputs.vlm, inputs.data.split("E")
    with by_turn.around_turns(vlm, lambda bare: [0] * len(bare.confidences), [[LOUDER]], "first", "test"):
        forced = evaluate(vlm, questions)
        generated = evaluate(vlm, questions, mode="generate")
    bare = evaluate(vlm, questions)
    torch.testing.assert_close(
        torch.tensor(forced["logprob"].to_numpy()), torch.tensor(generated["logprob"].to_numpy()), atol=1e-4, rtol=1e-4
    )
    assert (forced["logprob"] - bare["logprob"]).abs().max() > 1e-3


def test_edits_around_and_within_it_apply(inputs):
    vlm, questions, other = inputs.vlm, inputs.data.split("E"), ha.scale("L1.H3", -2)

    def read():
        return torch.tensor(evaluate(vlm, questions)["logprob"].to_numpy())

    def turns():
        return by_turn.around_turns(vlm, lambda bare: [0] * len(bare.confidences), [[LOUDER]], "answer", "test")

    with turns():
        alone = read()
    with turns(), vlm.edit(other):
        inside = read()
    with vlm.edit(other), turns():
        around = read()
    assert (inside - alone).abs().max() > 1e-3
    torch.testing.assert_close(inside, around, atol=1e-4, rtol=1e-4)
