import pytest
import torch

from headatlas.heads import Head, HeadSet, ZReader, edit_heads, zero
from headatlas.vlm import conversation, encode, read
from headatlas.vlm import last_block as module
from headatlas.vlm.forward import logits_at
from headatlas.vlm.last_block import last_block_at
from headatlas.vlm.stack import Unfit, find_stack

from .conftest import families


class Case:
    """What `last_block_at` needs of a VLM, around a tiny model of a family."""

    def __init__(self, family):
        made = families.tiny(family)
        self.name, self.model, self.heads, self.inputs = family, made.model, made.grid, made.images
        self.last = find_stack(made.model, made.grid).blocks[-1]

    def run(self, where=None, edits=()):
        """Hidden states before the output embedding at `where`, z of the last block, and the rows that its MLP saw."""
        seen, rows = [], []
        head = self.model.get_output_embeddings()
        mlp = next(child for name, child in self.last.module.named_children() if "mlp" in name or "feed" in name)
        watch = head.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
        real = mlp.forward
        mlp.forward = lambda hidden: rows.append(hidden.shape[1]) or real(hidden)  # not a hook: those are told apart
        try:
            with edit_heads(self.model, self.heads, list(edits)), ZReader(self.heads) as reader:
                if where is None:
                    self.model(**self.inputs)
                else:
                    with last_block_at(self, where):
                        self.model(**self.inputs)
        finally:
            watch.remove()
            del mlp.forward
        return seen[-1], reader.z[len(self.heads.tower("L")) - 1], rows


@pytest.fixture
def some():
    """Two positions of the first row of 10 or more, three of the second."""
    where = torch.zeros(2, 13, dtype=torch.bool)
    where[0, [4, 9]] = where[1, [1, 5, 8]] = True
    return where


@pytest.mark.parametrize("family", list(families.CONFIGS))
def test_what_is_looked_at_is_what_the_whole_block_gives(family, some):
    case = Case(family)
    where = some[:, : case.inputs["input_ids"].shape[1]]
    head = HeadSet([Head(len(case.heads.tower("L")) - 1, 1)])
    for edits in ([], [zero(head)]):
        whole, z, _ = case.run(None, edits)
        for _ in range(2):  # the first pass tries it out, the second relies on it
            part, z_part, rows = case.run(where, edits)
            torch.testing.assert_close(part[where], whole[where], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(z_part, z, atol=1e-6, rtol=1e-6)
            assert rows[-1] == 3, "the MLP must run at the positions asked for, else nothing is saved"
    assert module._TRIED[case] in (0, 2)


def test_the_first_pass_is_bit_for_bit_the_later_ones(tiny_vlm, tiny_questions, monkeypatch):
    """A run that goes on after a kill tries its first batch out anew, and must end with the same numbers."""
    monkeypatch.setattr(module, "_TRIED", {})
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    mask = batch.predict_mask()
    assert 2 * int(mask.sum(1).max()) <= mask.shape[1]
    first, later = (logits_at(tiny_vlm, batch, mask, range(8)) for _ in range(2))
    assert torch.equal(first, later)
    assert {tiny_vlm: 2} == module._TRIED


def test_many_positions_and_others_hooks_get_the_whole_block(some):
    case = Case("llava")
    n = case.inputs["input_ids"].shape[1]
    many = torch.zeros(2, n, dtype=torch.bool)
    many[:, : n // 2 + 1] = True
    assert case.run(many)[2] == [n]
    handle = case.last.module.register_forward_hook(lambda m, args, out: None)
    assert case.run(some[:, :n])[2] == [n]
    handle.remove()
    assert case.run(some[:, :n])[2][-1] == 3


def test_a_block_that_cannot_be_run_in_part_is_run_whole(tiny_vlm, tiny_questions, monkeypatch):
    chats = [conversation(question) for question in tiny_questions]
    want = read(tiny_vlm, chats)

    def unfit(*args, **kwargs):
        raise Unfit("it takes something unknown")

    monkeypatch.setattr(module, "_TRIED", {})
    monkeypatch.setattr(module, "call_at", unfit)
    assert [[r.text for r in row] for row in read(tiny_vlm, chats)] == [[r.text for r in row] for row in want]
    assert {tiny_vlm: "it takes something unknown"} == module._TRIED


def test_a_block_that_gives_something_else_in_part_is_run_whole(tiny_vlm, tiny_questions, monkeypatch):
    chats = [conversation(question) for question in tiny_questions]
    want = read(tiny_vlm, chats)
    take = module.take
    monkeypatch.setattr(module, "_TRIED", {})
    monkeypatch.setattr(module, "take", lambda values, at: 1.1 * take(values, at))
    got = read(tiny_vlm, chats)
    assert [r.logprob for row in got for r in row] == pytest.approx([r.logprob for row in want for r in row], abs=1e-4)
    assert "off" in module._TRIED[tiny_vlm]


def test_it_is_installed_for_one_pass(tiny_vlm, tiny_questions):
    read(tiny_vlm, [conversation(question) for question in tiny_questions])
    assert not any("forward" in m.__dict__ for m in tiny_vlm.model.modules())
