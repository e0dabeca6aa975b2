import pytest
from PIL import Image

from headatlas.errors import HeadAtlasError
from headatlas.vlm.chat import Conversation, Turn, conversation, messages, render


def test_whole_conversation_has_a_turn_a_step_with_gold_answers(tiny_questions):
    question = tiny_questions[1]
    chat = conversation(question)
    assert [turn.answer for turn in chat.turns] == [step.answer for step in question.steps]
    assert chat.turns[0].user == f"{question.text}\n{question.steps[0].text}"
    assert [turn.user for turn in chat.turns[1:]] == [step.text for step in question.steps[1:]]
    assert not chat.open


def test_upto_leaves_that_step_open_and_takes_the_given_answers(tiny_questions):
    chat = conversation(tiny_questions[0], upto=2, answers=["this", "that", "unused"])
    assert [turn.answer for turn in chat.turns] == ["this", "that", None]
    assert chat.open


def test_images_and_preamble_of_an_arm_replace_and_precede(tiny_questions):
    other = Image.new("RGB", (8, 8))
    chat = conversation(tiny_questions[0], images=(other, other), preamble="Boxes are drawn.")
    assert chat.images == (other, other)
    assert chat.turns[0].user.startswith(f"Boxes are drawn.\n{tiny_questions[0].text}\n")
    assert conversation(tiny_questions[0], images=()).images == ()


def test_direct_is_the_question_alone(tiny_questions):
    question = tiny_questions[0]
    assert conversation(question, direct=True).turns == (Turn(question.text, question.answer),)
    assert conversation(question, upto=0, direct=True).turns == (Turn(question.text),)


def test_every_prompt_is_a_strict_prefix_of_the_whole(tiny_vlm, tiny_questions):
    question = tiny_questions[1]
    whole = render(tiny_vlm.processor, [messages(conversation(question))], False)[0]
    for k in range(len(question.steps)):
        prompt = render(tiny_vlm.processor, [messages(conversation(question, upto=k))], True)[0]
        assert whole.startswith(prompt)
        assert len(prompt) < len(whole)


@pytest.mark.parametrize("upto", [-1, 99])
def test_a_step_that_is_not_there_is_refused(tiny_questions, upto):
    with pytest.raises(HeadAtlasError, match="must be a step from 0"):
        conversation(tiny_questions[0], upto=upto)


def test_too_few_answers_are_refused(tiny_questions):
    with pytest.raises(HeadAtlasError, match="answers must have 2"):
        conversation(tiny_questions[0], upto=2, answers=["one"])


def test_only_the_last_turn_may_be_open():
    with pytest.raises(HeadAtlasError, match="every turn but the last"):
        Conversation((), (Turn("a"), Turn("b")))
