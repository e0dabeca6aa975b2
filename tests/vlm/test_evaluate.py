import numpy as np
import pytest
import torch

from headatlas.cogvsr.schema import Step
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, patch, zero
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import COLUMNS, evaluate, is_right, unreadable
from headatlas.vlm.generate import generate
from headatlas.vlm.read import read


def test_one_row_a_step_in_the_order_of_the_questions(tiny_vlm, tiny_questions):
    done = []
    answers = evaluate(
        tiny_vlm, tiny_questions, batch_size=3, progress=lambda what, n, total: done.append((what, n, total))
    )
    assert tuple(answers.columns) == COLUMNS
    want = [(q.id, k, len(q.steps)) for q in tiny_questions for k in range(len(q.steps))]
    assert list(zip(answers.question, answers.step, answers.n_steps, strict=True)) == want
    assert done == [("evaluate", len(tiny_questions), len(tiny_questions))]
    first = answers.iloc[1]
    assert (first.function, first.functions) == ("low_level_perception", "low_level_perception|high_level_perception")
    assert (first.gold, first.answer_type, first.kind, first.scene) == ("red", "choice", "color", "scene0")


def test_exact_answers_are_correct_and_some_are_not(tiny_vlm, tiny_questions):
    answers = evaluate(tiny_vlm, tiny_questions)
    readouts = [r for row in read(tiny_vlm, [conversation(q) for q in tiny_questions]) for r in row]
    assert list(answers.text) == [r.text for r in readouts]
    assert all(correct for correct, r in zip(answers.correct, readouts, strict=True) if r.exact)
    assert 0 < answers.correct.sum() < len(answers)
    assert (answers.unparsable == answers.parsed.isna()).all()
    assert not (answers.correct & answers.unparsable).any()


def test_generated_answers_in_gold_context(tiny_vlm, tiny_questions):
    forced = evaluate(tiny_vlm, tiny_questions)
    said = evaluate(tiny_vlm, tiny_questions, mode="generate", batch_size=5)
    exact = [r.exact for row in read(tiny_vlm, [conversation(q) for q in tiny_questions]) for r in row]
    assert list(said.text == said.gold) == exact
    assert said.logprob.to_numpy() == pytest.approx(forced.logprob.to_numpy(), abs=1e-4)


def test_own_context_feeds_each_questions_own_answers_back(tiny_vlm, tiny_questions):
    answers = evaluate(tiny_vlm, tiny_questions, mode="generate", context="own", batch_size=5, max_new_tokens=6)
    for question in tiny_questions:
        said = []
        for k in range(len(question.steps)):
            said += generate(tiny_vlm, [conversation(question, upto=k, answers=said)], max_new_tokens=6)
        assert list(answers[answers.question == question.id].text) == said
    assert answers.logprob.isna().all()


def test_an_arm_shows_and_says_something_else(tiny_vlm, tiny_questions):
    seen = []

    def arm(question):
        seen.append(question.id)
        return (question.images[0].transpose(0), question.images[0]), "The image comes twice."

    answers = evaluate(tiny_vlm, tiny_questions[:3], arm=arm)
    assert seen == [question.id for question in tiny_questions[:3]]
    chats = [conversation(q, images=arm(q)[0], preamble=arm(q)[1]) for q in tiny_questions[:3]]
    want = [r.logprob for row in read(tiny_vlm, chats) for r in row]
    assert answers.logprob.to_numpy() == pytest.approx(want, abs=1e-4)


def test_active_edits_apply(tiny_vlm, tiny_questions):
    bare = evaluate(tiny_vlm, tiny_questions)
    with tiny_vlm.edit(zero(tiny_vlm.heads.heads())):
        edited = evaluate(tiny_vlm, tiny_questions)
    assert not np.allclose(bare.logprob, edited.logprob)


def test_mistakes_are_named(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="own context"):
        evaluate(tiny_vlm, tiny_questions, context="own")
    with pytest.raises(HeadAtlasError, match="mode must be"):
        evaluate(tiny_vlm, tiny_questions, mode="guess")
    with pytest.raises(HeadAtlasError, match="empty dataset"):
        evaluate(tiny_vlm, [])
    values = np.zeros((len(tiny_questions), 2, 4, 6), np.float32)
    by_row = patch(HeadSet(tiny_vlm.heads.heads()), values)
    with tiny_vlm.edit(by_row), pytest.raises(HeadAtlasError, match="same for all rows"):
        evaluate(tiny_vlm, tiny_questions)


def test_right_means_parsed_and_ended_in_every_mode(tiny_vlm, tiny_questions, monkeypatch):
    """A model that never ends its turn is never right, whatever its words."""
    plain = evaluate(tiny_vlm, tiny_questions)
    assert plain.correct.any()
    end = tiny_vlm.tokenizer.eos_token_id
    head = tiny_vlm.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, args, logits: logits.index_fill(-1, torch.tensor([end]), -1e4))
    try:
        for options in ({}, {"mode": "generate"}, {"mode": "generate", "context": "own"}):
            answers = evaluate(tiny_vlm, tiny_questions, max_new_tokens=4, **options)
            assert not answers.correct.any()
            assert not answers.unparsable.all()
    finally:
        handle.remove()


def test_is_right():
    step = Step(text="Is it?", answer="yes", answer_type="yes_no", functions=("decision_making",))
    assert is_right("Yes.", step)
    assert not is_right("Yes.", step, ended=False)
    assert not is_right("no", step)


@pytest.mark.parametrize("options", [{}, {"mode": "generate"}, {"mode": "generate", "context": "own"}])
def test_an_odd_question_is_listed_and_the_others_are_read(tiny_vlm, tiny_questions, options, caplog):
    first = tiny_questions[0]
    odd = first.model_copy(update={"id": "odd-one", "text": f"<image> {first.text}"})
    answers = evaluate(tiny_vlm, [tiny_questions[1], odd, first], max_new_tokens=4, **options)
    want = evaluate(tiny_vlm, [tiny_questions[1], first], max_new_tokens=4, **options)
    assert list(answers.text) == list(want.text)
    assert list(answers.attrs["refused"]) == ["odd-one"]
    assert "1 of 3 questions left out: question 'odd-one'" in caplog.text
    assert unreadable(tiny_vlm, [first, odd]) == answers.attrs["refused"]
    with pytest.raises(HeadAtlasError, match="none of the 1 questions: question 'odd-one'"):
        evaluate(tiny_vlm, [odd], **options)
