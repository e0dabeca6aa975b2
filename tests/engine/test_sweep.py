import numpy as np
import pytest
import torch

from headatlas.engine import step_by_step, sweep
from headatlas.engine import sweep as sweep_function
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, attend, mean, patch, scale, zero
from headatlas.vlm import generate, read
from headatlas.vlm import stack as stacks
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation, Turn, conversation
from headatlas.vlm.forward import logits_at

module = __import__(sweep_function.__module__, fromlist=["BRANCH_TOKENS"])
SCOPES = ("all", "image", "prompt", "answer", "last")


@pytest.fixture(scope="module")
def chats(tiny_questions):
    return [conversation(question) for question in tiny_questions]


@pytest.fixture(scope="module")
def conditions(tiny_vlm):
    """Every head alone, by two operations; a set over both layers; the bare model."""
    means = torch.randn(tiny_vlm.heads.dims("L"), generator=torch.Generator().manual_seed(0))
    heads = list(tiny_vlm.heads.heads())
    single = [[zero(HeadSet([head]))] for head in heads] + [[mean(HeadSet([head]), means)] for head in heads[2:6:3]]
    return [*single, [scale(HeadSet(heads[1:6]), 0.5), zero(HeadSet(heads[5:7]))], []]


def flat(readouts, what):
    return [getattr(one, what) for row in readouts for one in row]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_sweep_is_the_naive_loop(tiny_vlm, chats, conditions, scope):
    found = sweep(tiny_vlm, chats, conditions, scope, batch_size=3)
    assert found.how == ("branch" if scope in ("answer", "last") else "resume")
    moved = 0.0
    for c, edits in enumerate(conditions):
        want = step_by_step(tiny_vlm, chats, edits, scope, batch_size=1 if c % 5 == 0 else 32)
        np.testing.assert_allclose(found.logprob[c], flat(want, "logprob"), atol=2e-5, rtol=1e-5)
        assert found.exact[c].tolist() == flat(want, "exact")
        assert found.text[c] == flat(want, "text")
        assert [len(row) for row in found.readouts(c)] == [len(chat.turns) for chat in chats]
        moved = max(moved, np.abs(found.logprob[c] - found.bare[0]).max())
    assert moved > (5e-3 if scope == "image" else 0.05), (
        "the heads matter to the tiny model, else this test could not fail"
    )
    np.testing.assert_array_equal(found.logprob[-1], found.bare[0])
    np.testing.assert_allclose(found.bare[0], flat(read(tiny_vlm, chats), "logprob"), atol=1e-5)


def test_an_edited_answer_is_not_seen_by_the_next_step(tiny_vlm, chats):
    """A single pass in which all answers are edited is different, and is not what a sweep gives."""
    edits = [zero(HeadSet(list(tiny_vlm.heads.heads())[:4]))]
    found = sweep(tiny_vlm, chats, [edits], "answer")
    with tiny_vlm.edit(*edits, scope="answer"):
        leaking = np.array(flat(read(tiny_vlm, chats), "logprob"))
    firsts = np.cumsum([0, *found.turns[:-1]])
    np.testing.assert_allclose(found.logprob[0][firsts], leaking[firsts], atol=1e-5)
    assert np.abs(np.delete(found.logprob[0] - leaking, firsts)).max() > 1e-3


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_values_of_each_conversation(tiny_vlm, chats, scope):
    values = torch.randn(len(chats), *tiny_vlm.heads.dims("L"), generator=torch.Generator().manual_seed(2))
    edits = [[patch(HeadSet([Head(0, 1)]), values)], [patch(HeadSet([Head(1, 3)]), values)]]
    found = sweep(tiny_vlm, chats, edits, scope, batch_size=3)
    for c in range(2):
        want = step_by_step(tiny_vlm, chats, edits[c], scope, batch_size=7)
        np.testing.assert_allclose(found.logprob[c], flat(want, "logprob"), atol=2e-5)


def test_groups_of_any_size_are_the_same(tiny_vlm, chats, conditions, monkeypatch):
    want = sweep(tiny_vlm, chats, conditions, "answer")
    monkeypatch.setattr(module, "BRANCH_TOKENS", 1)
    one = sweep(tiny_vlm, chats, conditions, "answer", batch_size=2)
    np.testing.assert_allclose(one.logprob, want.logprob, atol=2e-5)


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_closed_answers_are_exact_iff_decoding_says_so(tiny_vlm, tiny_questions, chats, scope):
    """Greedy decoding under the edit, step by step in gold context, gives the gold answer where the sweep says exact."""
    edits = [scale(HeadSet([Head(1, 2), Head(0, 1)]), 0.1)]
    found = sweep(tiny_vlm, chats, [edits], scope)
    steps = [(question, k) for question in tiny_questions for k in range(len(question.steps))]
    with tiny_vlm.edit(*edits, scope=scope):
        said = generate(tiny_vlm, [conversation(question, upto=k) for question, k in steps])
    gold = [question.steps[k].answer for question, k in steps]
    assert found.exact[0].tolist() == [text == answer for text, answer in zip(said, gold, strict=True)]
    assert 0 < found.exact[0].sum() < len(gold)


def test_a_model_that_cannot_be_taken_up_is_run_whole_and_says_so(tiny_vlm, chats, conditions, monkeypatch, caplog):
    some = conditions[7:]
    want = {scope: sweep(tiny_vlm, chats, some, scope) for scope in ("all", "answer")}

    def unfit(model, grid):
        raise module.Unfit("its blocks are odd")

    monkeypatch.setattr(stacks, "find_stack", unfit)
    for scope, same in want.items():
        found = sweep(tiny_vlm, chats, some, scope)
        assert (found.how, found.reason) == ("rerun", "its blocks are odd")
        np.testing.assert_allclose(found.logprob, same.logprob, atol=2e-5)
        assert found.text == same.text
    assert "its blocks are odd; every condition is run in full" in caplog.text


def test_a_wrong_bare_pass_is_noticed(tiny_vlm, chats, conditions, monkeypatch):
    """If the middle of a model cannot be reproduced, whole passes are run instead of wrong ones."""
    real = module.branch

    def off(kept, answers, plan, start, scope, attention=None):
        said = real(kept, answers, plan, start, scope, attention)
        return module.Outcome(said.logprob + 0.1, said.exact, said.best)

    monkeypatch.setattr(module, "branch", off)
    found = sweep(tiny_vlm, chats[:2], conditions[:1], "answer")
    assert found.how == "rerun"
    assert "nats off" in found.reason


def test_progress_and_mistakes(tiny_vlm, chats, conditions):
    told = []
    sweep(tiny_vlm, chats, conditions, "answer", batch_size=3, progress=lambda *call: told.append(call))
    total = len(chats) * len(conditions)
    assert told[-1] == ("sweep", total, total)
    with pytest.raises(HeadAtlasError, match=r"call it outside vlm.edit"), tiny_vlm.edit(*conditions[0]):
        sweep(tiny_vlm, chats, conditions)
    with pytest.raises(HeadAtlasError, match="got none"):
        sweep(tiny_vlm, [], conditions)
    with pytest.raises(HeadAtlasError, match="scope"):
        sweep(tiny_vlm, chats, conditions, "everywhere")
    with pytest.raises(HeadAtlasError, match="has 2 layers"):
        sweep(tiny_vlm, chats, [[zero(HeadSet([Head(7, 0)]))]])
    with pytest.raises(HeadAtlasError, match="answer in every turn"):
        sweep(tiny_vlm, [Conversation((), (Turn("hello"),))], conditions)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_mass_on_valid_answers(tiny_vlm, chats, conditions, scope, monkeypatch):
    some, numbers = conditions[:9:4], np.random.default_rng(0)
    total = sum(len(chat.turns) for chat in chats)
    valid = [frozenset(numbers.integers(5, 300, 4).tolist()) for _ in range(total)]
    made = sweep(tiny_vlm, chats, some, scope, batch_size=3, valid=valid)
    assert made.valid.shape == (len(some) + 1, total)
    at = 0
    for chat in chats:  # by hand, each step's own prompt alone
        for turn in range(len(chat.turns)):
            batch = encode(tiny_vlm, [Conversation(chat.images, chat.turns[: turn + 1])])
            last = batch.last_mask()
            last[0, : batch.spans[0][-1][0] - 1] = False
            logits = logits_at(tiny_vlm, batch, last, [0])
            wanted = logits.softmax(1)[0, list(valid[at])].sum().log()
            assert made.valid[-1, at] == pytest.approx(float(wanted), abs=1e-4)
            at += 1
    assert np.abs(made.valid[:-1] - made.valid[-1]).max() > 1e-3
    plain = sweep(tiny_vlm, chats, some, scope, batch_size=3)
    np.testing.assert_array_equal(plain.logprob, made.logprob)
    assert plain.valid is None
    with pytest.raises(HeadAtlasError, match="one set for each"):
        sweep(tiny_vlm, chats, some, scope, valid=valid[1:])
    if scope == "all":

        def unfit(model, grid):
            raise module.Unfit("its blocks are odd")

        monkeypatch.setattr(stacks, "find_stack", unfit)
        whole = sweep(tiny_vlm, chats, some, scope, batch_size=3, valid=valid)
        assert whole.how == "rerun"
        np.testing.assert_allclose(whole.valid, made.valid, atol=2e-5)


def test_vision_heads_are_run_whole(tiny_vlm, chats):
    edits = [zero(HeadSet(["V0.H0", "V0.H1"]))]
    found = sweep(tiny_vlm, chats, [edits])
    assert found.how == "rerun"
    with tiny_vlm.edit(*edits):
        np.testing.assert_allclose(found.logprob[0], flat(read(tiny_vlm, chats), "logprob"), atol=1e-5)


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_numbers_that_are_not_finite_are_an_error(tiny_vlm, chats, scope, monkeypatch):
    """NaN must not be read as a wrong answer, under an edit or in the bare model."""
    shape = tiny_vlm.heads.dims("L")
    one = HeadSet([Head(0, 1)])
    bad = [
        mean(one, torch.full(shape, 3e38)),
        scale(one, 100.0),
    ]  # beyond float32; 3e38 alone may not be, behind a norm
    with pytest.raises(
        HeadAtlasError,
        match=r"in float32: a log-probability under the edit mean of L0\.H1; \w+ of L0\.H1 is not finite",
    ):
        sweep(tiny_vlm, chats, [[zero(HeadSet([Head(0, 0)]))], bad], scope)
    real = module.record

    def broken(*args):
        kept = real(*args)
        kept.z[1] = torch.full_like(kept.z[1], torch.inf)
        kept.logits = torch.full_like(kept.logits, torch.nan)
        return kept

    monkeypatch.setattr(module, "record", broken)
    with pytest.raises(HeadAtlasError, match=r"z of block 1 is not finite .*bfloat16"):
        sweep(tiny_vlm, chats, [[]], scope)


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_edits_of_attention_with_unknown_additions_are_an_error(tiny_vlm, chats, scope, monkeypatch):
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

    kernel = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def strange(module, query, key, value, attention_mask, **kwargs):
        out, rest = kernel(module, query, key, value, attention_mask, **kwargs)
        return out * 1.5, rest

    monkeypatch.setitem(AttentionInterface._global_mapping, "sdpa", strange)
    with pytest.raises(HeadAtlasError, match=r"LlamaAttention cannot be read: a \. V differs"):
        sweep(tiny_vlm, chats, [[attend(["L1.H0"], "image", 1.0)]], scope)
