import pytest

from headatlas.heads import HeadSet, scale, zero
from headatlas.vlm.chat import conversation
from headatlas.vlm.generate import generate, generate_answers
from headatlas.vlm.read import read
from headatlas.vlm.stepwise import gold_answers, own_answers

FEW = 5
SCOPES = [None, "all", "image", "prompt", "answer", "last"]


@pytest.fixture
def counted(tiny_vlm, monkeypatch):
    """Tokens that the language model computes, a list that grows by one number per forward."""
    seen = []
    layer = tiny_vlm.heads.tower("L")[0].module
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(args[0].shape[0] * args[0].shape[1]))
    yield seen
    handle.remove()


def editing(vlm, scope):
    heads = HeadSet(list(vlm.heads.heads("L"))[1:5])
    return vlm.edit() if scope is None else vlm.edit(scale(heads, -1.5), scope=scope)


@pytest.mark.parametrize("scope", SCOPES)
def test_own_context_is_every_step_from_its_beginning(tiny_vlm, tiny_questions, scope):
    chat = lambda i, upto, answers: conversation(tiny_questions[i], upto, answers)  # noqa: E731
    with editing(tiny_vlm, scope):
        found = own_answers(tiny_vlm, chat, [len(q.steps) for q in tiny_questions[:FEW]], 3, 5)
        for question, texts in zip(tiny_questions[:FEW], found, strict=True):
            said = []
            for k in range(len(question.steps)):
                said += generate(tiny_vlm, [conversation(question, k, said)], max_new_tokens=5)
            assert [answer.text for answer in texts] == said


@pytest.mark.parametrize(("scope", "max_new_tokens"), [*((scope, 5) for scope in SCOPES), (None, 1), ("prompt", 1)])
def test_gold_context_is_every_step_from_its_beginning(tiny_vlm, tiny_questions, scope, max_new_tokens):
    chat = lambda i, upto, answers: conversation(tiny_questions[i], upto, answers)  # noqa: E731
    with editing(tiny_vlm, scope):
        found, logprobs = gold_answers(tiny_vlm, chat, [len(q.steps) for q in tiny_questions[:FEW]], 3, max_new_tokens)
        steps = [conversation(q, k) for q in tiny_questions[:FEW] for k in range(len(q.steps))]
        assert [answer for row in found for answer in row] == generate_answers(tiny_vlm, steps, max_new_tokens)
        want = [[r.logprob for r in row] for row in read(tiny_vlm, [conversation(q) for q in tiny_questions[:FEW]])]
    for a, b in zip(logprobs, want, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_what_is_shared_is_computed_once(tiny_vlm, tiny_questions, counted):
    """In own context little more than every conversation's tokens, in gold context no more and a token for each left open."""
    steps = [len(q.steps) for q in tiny_questions]
    chat = lambda i, upto, answers: conversation(tiny_questions[i], upto, answers)  # noqa: E731
    own_answers(tiny_vlm, chat, steps, 8, 6)  # tries the model out
    counted.clear()
    read(tiny_vlm, [conversation(q) for q in tiny_questions])
    whole = sum(counted)
    counted.clear()
    gold_answers(tiny_vlm, chat, steps, 8, 6)
    gold = sum(counted)
    counted.clear()
    own_answers(tiny_vlm, chat, steps, 8, 6)
    own = sum(counted)
    counted.clear()
    with tiny_vlm.edit(zero(HeadSet(["L0.H0"])), scope="answer"):
        own_answers(tiny_vlm, chat, steps, 8, 6)
    assert gold < 1.5 * whole
    assert own < 1.7 * whole
    assert sum(counted) > 2.5 * whole
