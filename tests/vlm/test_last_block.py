import pytest
import torch

from headatlas.heads import Head, HeadSet, ZReader, edit_heads, zero
from headatlas.vlm import conversation, encode, evaluate, read
from headatlas.vlm import last_block as module
from headatlas.vlm.forward import logits_at
from headatlas.vlm.last_block import last_block_at, last_block_fits
from headatlas.vlm.stack import Unfit, find_stack

from .conftest import families


class Case:
    """What `last_block_at` needs of a VLM, around a tiny model of a family."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, family):
        made = families.tiny(family)
        self.name, self.model, self.heads, self.inputs = family, made.model, made.grid, made.images
        stack = find_stack(made.model, made.grid)
        self.last = stack.blocks[-1]
        self.norm = next(child for child in stack.siblings if "norm" in type(child).__name__.lower())
        self.length = self.inputs["input_ids"].shape[1]

    def tokenizer(self, text, **kwargs):
        return {"input_ids": torch.arange(10, 10 + len(text.split()))[None]}

    def run(self, where=None, edits=()):
        """Hidden states before the output embedding, z of the last block, and how many positions its MLP saw, run by run."""
        seen, rows = [], []
        last_block_fits(self)
        norm = self.norm
        mlp = next(child for name, child in self.last.module.named_children() if "mlp" in name)
        norms, mlps = norm.forward, mlp.forward
        # No hooks: those are noticed, and then the block is run whole.
        norm.forward = lambda hidden: seen.append(hidden) or norms(hidden)
        mlp.forward = lambda hidden: rows.append(hidden.shape[1]) or mlps(hidden)
        try:
            with edit_heads(self.model, self.heads, list(edits)), ZReader(self.heads) as reader:
                if where is None:
                    self.model(**self.inputs)
                else:
                    with last_block_at(self, where):
                        self.model(**self.inputs)
        finally:
            del norm.forward, mlp.forward
        return seen[-1], reader.z[len(self.heads.tower("L")) - 1], rows


def some(length):
    """Two positions of the first row, three of the second."""
    where = torch.zeros(2, length, dtype=torch.bool)
    where[0, [4, 9]] = where[1, [1, 5, 8]] = True
    return where


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is known of any model."""
    monkeypatch.setattr(module, "_FIT", {})
    return module._FIT


@pytest.mark.parametrize("family", list(families.CONFIGS))
def test_what_is_looked_at_is_what_the_whole_block_gives(family, fresh):
    case = Case(family)
    where = some(case.length)
    for edits in ([], [zero(HeadSet([Head(len(case.heads.tower("L")) - 1, 1)]))]):
        whole, z, _ = case.run(None, edits)
        part, z_part, rows = case.run(where, edits)
        torch.testing.assert_close(part[where], whole[where], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(z_part, z, atol=1e-6, rtol=1e-6)
        assert rows[-1] == 3, "the MLP must run at the positions asked for, else nothing is saved"
    assert not isinstance(fresh[case], str)


def test_whether_a_model_fits_depends_on_no_edit_and_no_reader(fresh):
    """Another process, or a run that goes on after a kill, must come to the same numbers whatever it begins with."""
    case = Case("llava")
    read_so_far = []
    with (
        edit_heads(case.model, case.heads, [zero(case.heads.heads())]),
        ZReader(case.heads, on_z=lambda layer, z: read_so_far.append(z.shape)),
    ):
        assert last_block_fits(case)[1] == 2
        assert not read_so_far
        case.model(**case.inputs)
        assert len(read_so_far) == 2, "the hooks are back"


def test_the_first_pass_is_bit_for_bit_the_later_ones(tiny_vlm, tiny_questions, fresh):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    mask = batch.predict_mask()
    assert 2 * int(mask.sum(1).max()) <= mask.shape[1]
    with tiny_vlm.edit(zero(HeadSet(["L0.H1"])), scope="answer"):
        first, later = (logits_at(tiny_vlm, batch, mask, range(8)) for _ in range(2))
    assert torch.equal(first, later)
    assert fresh[tiny_vlm][1] == 2


def test_many_positions_none_and_what_others_look_at_get_the_whole_block(monkeypatch):
    case = Case("llava")
    where = some(case.length)
    many = torch.zeros(2, case.length, dtype=torch.bool)
    assert case.run(many)[2] == [case.length]
    many[:, : case.length // 2 + 1] = True
    assert case.run(many)[2] == [case.length]
    for watched in (case.last.module, case.norm, case.model):
        handle = watched.register_forward_hook(lambda m, args, out: None)
        assert case.run(where)[2] == [case.length]
        handle.remove()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda m, args, out: None)
    assert case.run(where)[2] == [case.length]
    handle.remove()
    monkeypatch.setattr(case.model.config, "output_hidden_states", True, raising=False)
    assert case.run(where)[2] == [case.length]
    monkeypatch.undo()
    assert case.run(where)[2][-1] == 3


def unfit(*args, **kwargs):
    raise Unfit("it takes something unknown")


def broken(*args, **kwargs):
    raise AttributeError("code of its own")


def wrong(values, at, take=module.take):
    return 1.1 * take(values, at)


@pytest.mark.parametrize(
    ("name", "odd", "why"),
    [
        ("call_at", unfit, "it takes something unknown"),
        ("call_at", broken, "code of its own"),
        ("take", wrong, "off"),
        ("stack_of", unfit, "it takes something unknown"),
    ],
)
def test_a_model_that_does_not_fit_is_run_whole(tiny_vlm, tiny_questions, fresh, monkeypatch, name, odd, why):
    chats = [conversation(question) for question in tiny_questions]
    want = read(tiny_vlm, chats)
    fresh.clear()
    monkeypatch.setattr(module, name, odd)
    got = read(tiny_vlm, chats)
    assert [r.logprob for row in got for r in row] == pytest.approx([r.logprob for row in want for r in row], abs=1e-4)
    assert why in fresh[tiny_vlm]
    # With a cache: keys and values of the block must be kept once.
    answers = evaluate(tiny_vlm, tiny_questions, mode="generate", context="gold")
    monkeypatch.undo()
    assert answers["text"].tolist() == evaluate(tiny_vlm, tiny_questions, mode="generate")["text"].tolist()


def test_a_batch_with_something_unknown_is_run_whole(tiny_vlm, tiny_questions, monkeypatch):
    chats = [conversation(question) for question in tiny_questions]
    want = read(tiny_vlm, chats)
    assert last_block_fits(tiny_vlm)[1] == 2
    monkeypatch.setattr(module, "call_at", unfit)
    got = read(tiny_vlm, chats)
    assert [r.logprob for row in got for r in row] == pytest.approx([r.logprob for row in want for r in row], abs=1e-4)
    assert last_block_fits(tiny_vlm)[1] == 2


def test_a_block_that_runs_several_times_does_not_fit(fresh, monkeypatch):
    case = Case("llava")
    language = case.model.model.language_model
    once = language.forward
    monkeypatch.setattr(language, "forward", lambda *args, **kwargs: (once(*args, **kwargs), once(*args, **kwargs))[1])
    assert last_block_fits(case) == "its last block runs 2 times in a forward"


def test_it_is_installed_for_one_pass(tiny_vlm, tiny_questions):
    read(tiny_vlm, [conversation(question) for question in tiny_questions])
    assert not any("forward" in m.__dict__ for m in tiny_vlm.model.modules())
