import numpy as np
import pytest
from PIL import Image

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.reference.tokens import BLIND, CAPTION_REQUEST, OTHER, Encoder
from headatlas.scenes.build import symbolic
from headatlas.scenes.caption import caption
from headatlas.vlm.chat import Conversation, Turn, conversation, messages, render

PICTURE = (Image.new("RGB", (384, 384)),)


@pytest.fixture(scope="module")
def encoder(llava, tokenizer):
    return Encoder(tokenizer, llava.form, 36)


def _ids(processor, chat):
    text = render(processor, [messages(chat)], False)
    images = [list(chat.images)] if chat.images else None
    return processor(text=text, images=images, return_tensors="np")["input_ids"][0].tolist()


def test_rows_equal_what_the_processor_makes_of_the_conversation(processor, encoder):
    for made in symbolic(18, "train", 5):
        question = made.question
        row = encoder.steps(question)
        assert row.ids.tolist() == _ids(processor, conversation(question, images=PICTURE))
        assert encoder.without_image(row).ids.tolist() == _ids(processor, conversation(question, images=()))
        twice = conversation(question, images=PICTURE * 2)
        assert encoder.with_second_image(row).ids.tolist() == _ids(processor, twice)
        assert (
            encoder.with_second_image(row).marks[encoder.with_second_image(row).marks > 0].tolist()
            == row.marks[row.marks > 0].tolist()
        )
        assert encoder.direct(question).ids.tolist() == _ids(
            processor, conversation(question, images=PICTURE, direct=True)
        )
        told = Conversation(PICTURE, (Turn(CAPTION_REQUEST, caption(made.scene)),))
        assert encoder.caption(made.scene).ids.tolist() == _ids(processor, told)


def test_marks_spell_the_answers_and_their_functions(tokenizer, encoder):
    question = next(symbolic(1, "train", 6)).question
    row = encoder.steps(question)
    said = tokenizer.decode(row.ids[row.marks > 0]).replace("<|end|>", " ").split()
    assert said == " ".join(step.answer for step in question.steps).split()
    ends = row.marks[(row.ids == encoder.end) & (row.marks > 0)]
    assert [FUNCTIONS[mark % BLIND - 1] for mark in ends] == [step.function for step in question.steps]
    assert [mark < BLIND for mark in ends] == [step.needs_image for step in question.steps]


def test_direct_answers_are_marked_as_no_step(encoder):
    row = encoder.direct(next(symbolic(1, "train", 6)).question)
    assert set(row.marks.tolist()) == {0, 1 + OTHER}
    assert row.ids.dtype == np.int32
