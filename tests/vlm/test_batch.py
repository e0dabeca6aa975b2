import contextlib
import copy

import pytest
import torch
from PIL import Image
from tokenizers import normalizers

from headatlas.errors import HeadAtlasError
from headatlas.vlm import VLM, read
from headatlas.vlm.batch import UnreadableError, encode
from headatlas.vlm.chat import Conversation, Turn, conversation


@pytest.mark.parametrize("side", ["left", "right"])
def test_spans_spell_the_answers_and_end_the_turn(tiny_vlm, tiny_questions, side):
    chats = [conversation(question) for question in tiny_questions]
    batch = encode(tiny_vlm, chats, side=side)
    assert batch.side == side
    end = tiny_vlm.tokenizer.eos_token_id
    for row, chat in enumerate(chats):
        assert len(batch.spans[row]) == len(chat.turns)
        for turn, (start, stop) in zip(chat.turns, batch.spans[row], strict=True):
            ids = batch.ids[row, start:stop].tolist()
            assert ids[-1] == end
            assert tiny_vlm.tokenizer.decode(ids[:-1]) == turn.answer
            assert tiny_vlm.tokenizer.decode(batch.ids[row, start - 1 : start]) == "<|assistant|>"


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_steps_prompt_is_a_strict_token_prefix(tiny_vlm, tiny_questions, side):
    question = tiny_questions[1]
    whole = encode(tiny_vlm, [conversation(question), conversation(tiny_questions[2])], side=side)
    real = whole.ids[0][whole.mask[0]].tolist()
    for k, (start, _) in enumerate(whole.spans[0]):
        prompt = encode(tiny_vlm, [conversation(question, upto=k)], generation_prompt=True)
        ids = prompt.ids[0].tolist()
        assert real[: len(ids)] == ids
        assert len(ids) == start - whole.starts[0]


def test_images_are_found_and_expanded_to_their_tokens(tiny_vlm, tiny_questions):
    question = tiny_questions[0]
    two = conversation(question, images=(question.images[0], tiny_questions[1].images[0]))
    batch = encode(tiny_vlm, [conversation(question), two])
    assert batch.image_mask.sum(1).tolist() == [4, 8]
    assert batch.inputs["pixel_values"].shape[0] == 3


def test_a_batch_without_images_and_one_with_some_rows_without(tiny_vlm, tiny_questions):
    bare = conversation(tiny_questions[0], images=())
    assert "pixel_values" not in encode(tiny_vlm, [bare]).inputs
    mixed = encode(tiny_vlm, [bare, conversation(tiny_questions[1])])
    assert mixed.image_mask.sum(1).tolist() == [0, 4]
    assert mixed.inputs["pixel_values"].shape[0] == 1


def test_position_masks_partition_the_real_tokens(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    positions = batch.positions
    assert torch.equal(positions.prompt | positions.answer, batch.mask)
    assert not (positions.prompt & positions.answer).any()
    assert positions.answer.sum() == sum(end - start for spans in batch.spans for start, end in spans)
    assert positions.last.sum() == sum(map(len, batch.spans))
    assert (positions.answer | ~positions.last).all()


def test_a_generation_prompt_predicts_at_its_last_token(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(question, upto=1) for question in tiny_questions], generation_prompt=True)
    assert batch.side == "left"
    assert batch.predict_mask()[:, -1].all()
    assert all(len(spans) == 1 for spans in batch.spans)


def test_an_empty_answer_of_the_model_itself_is_only_its_end(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(tiny_questions[0], upto=1, answers=[""])], generation_prompt=True)
    start, end = batch.spans[0][0]
    assert batch.ids[0, start:end].tolist() == [tiny_vlm.tokenizer.eos_token_id]


def test_open_and_closed_conversations_are_told_apart(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="an answer in every turn"):
        encode(tiny_vlm, [conversation(tiny_questions[0], upto=0)])
    with pytest.raises(HeadAtlasError, match="an open last turn"):
        encode(tiny_vlm, [conversation(tiny_questions[0])], generation_prompt=True)
    with pytest.raises(HeadAtlasError, match="at least one conversation"):
        encode(tiny_vlm, [])


def test_a_template_that_rewrites_earlier_turns_is_refused(tiny_vlm, tiny_questions, monkeypatch):
    template = tiny_vlm.processor.chat_template.replace("<|end|>", "{% if loop.last %}!{% endif %}<|end|>")
    monkeypatch.setattr(tiny_vlm.processor, "chat_template", template)
    with pytest.raises(HeadAtlasError, match=r"Llava.*turn 0"):
        encode(tiny_vlm, [Conversation(tiny_questions[0].images, (Turn("rewritten?", "yes"), Turn("and?", "no")))])


def test_a_template_that_changes_answers_is_refused(tiny_vlm, monkeypatch):
    template = tiny_vlm.processor.chat_template.replace("part['text']", "part['text'] | upper")
    monkeypatch.setattr(tiny_vlm.processor, "chat_template", template)
    with pytest.raises(HeadAtlasError, match=r"Llava.*does not write the answer of turn 0"):
        encode(tiny_vlm, [Conversation((), (Turn("upper?", "yes"),))])


def test_a_tokenizer_that_joins_prompt_and_answer_is_refused(tiny_vlm, monkeypatch):
    template = tiny_vlm.processor.chat_template.replace("<|{{ message['role'] }}|>", "{{ message['role'][:1] }} l")
    monkeypatch.setattr(tiny_vlm.processor, "chat_template", template.replace("<|assistant|>", "a l"))
    with pytest.raises(HeadAtlasError, match="token prefix"):
        encode(tiny_vlm, [Conversation((), (Turn("joined?", "eft"),))])


def test_an_open_batch_is_edited_where_it_is_to_answer(tiny_vlm, tiny_questions):
    """Earlier gold answers stay as the bare model sees them: they are in no scope but `all`."""
    chats = [conversation(question, upto=2) for question in tiny_questions]
    batch = encode(tiny_vlm, chats, generation_prompt=True)
    positions = batch.positions
    final = torch.zeros_like(batch.mask)
    final[:, -1] = True
    assert torch.equal(positions.answer, final)
    assert torch.equal(positions.last, final)
    assert not (positions.prompt & batch.predict_mask()).any()


def bad_picture(monkeypatch, vlm, width=400):
    """The image processor fails on pictures of one width, as Qwen's does on very long ones."""
    real = type(vlm.processor.image_processor).__call__

    def process(self, images, *args, **kwargs):
        if any(image.width == width for row in images for image in (row if isinstance(row, list) else [row])):
            raise ZeroDivisionError("division by zero")
        return real(self, images, *args, **kwargs)

    monkeypatch.setattr(type(vlm.processor.image_processor), "__call__", process)


def test_each_conversation_that_cannot_be_read_is_named(tiny_vlm, tiny_questions, monkeypatch):
    bad_picture(monkeypatch, tiny_vlm)
    fine = [conversation(question) for question in tiny_questions[:2]]
    odd = Conversation((Image.new("RGB", (400, 1)),), (Turn("odd?", "yes"),), "odd-picture")
    word = Conversation(tiny_questions[0].images, (Turn("<image>\nodd?", "yes"),), "odd-word")
    with pytest.raises(UnreadableError) as caught:
        encode(tiny_vlm, [fine[0], odd, fine[1], word])
    assert list(caught.value.reasons) == [1, 3]
    assert "question 'odd-picture': Llava's processor fails: ZeroDivisionError" in str(caught.value)
    assert "question 'odd-word': the text must not hold special tokens of Llava, got '<image>'" in str(caught.value)


@pytest.mark.parametrize("text", ["is it <|end|> red?", "<|user|>", "a <pad>", "see <image>", "half a pair \ud83d"])
@pytest.mark.parametrize("where", ["user", "answer"])
def test_words_that_are_no_words_are_refused(tiny_vlm, text, where):
    turn = Turn(text, "yes") if where == "user" else Turn("is it?", text)
    with pytest.raises(UnreadableError, match="question 'odd'"):
        encode(tiny_vlm, [Conversation((), (turn,), "odd")])


def test_composed_and_decomposed_letters_are_the_same_answer(tiny_vlm, monkeypatch):
    """Qwen's tokenizer composes them, so that the tokens spell another text than was given."""
    tiny_vlm.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    try:
        batch = encode(tiny_vlm, [Conversation((), (Turn("where? Cafe\u0301", "cafe\u0301"),))])
    finally:
        tiny_vlm.tokenizer.backend_tokenizer.normalizer = None
    start, end = batch.spans[0][0]
    assert tiny_vlm.tokenizer.decode(batch.ids[0, start : end - 1]) == "caf\u00e9"


def test_text_alone_is_read_where_the_processor_wants_a_picture(tiny_vlm, tiny_questions, monkeypatch):
    chat = conversation(tiny_questions[0], images=())
    want = encode(tiny_vlm, [chat]).ids
    real = type(tiny_vlm.processor).__call__

    def needy(self, images=None, **kwargs):
        return real(self, images=images, **kwargs) if images else {}["images"]

    monkeypatch.setattr(type(tiny_vlm.processor), "__call__", needy)
    assert torch.equal(encode(tiny_vlm, [chat]).ids, want)


@pytest.mark.parametrize("value", [7, None, -1, 10**6])
def test_a_changed_image_token_is_named(tiny_vlm, tiny_questions, value):
    """transformers raises an error about features, or an AttributeError."""
    vlm = VLM("changed", copy.deepcopy(tiny_vlm.model), tiny_vlm.processor)
    with contextlib.suppress(Exception):  # transformers sets it, and then raises
        vlm.model.config.image_token_id = value
    with pytest.raises(HeadAtlasError, match=rf"^image_token_id in the model's .*\d+, '<image>'\), got {value}:"):
        read(vlm, [conversation(tiny_questions[0])])


def test_an_image_token_of_another_use_is_one_line(tiny_vlm, tiny_questions):
    vlm = VLM("changed", copy.deepcopy(tiny_vlm.model), tiny_vlm.processor)
    vlm.model.config.image_token_id = tiny_vlm.tokenizer.convert_tokens_to_ids("<|end|>")
    with pytest.raises(
        HeadAtlasError, match=r"changed: a picture must have as many tokens as its features.*image_token_id=\d+"
    ):
        read(vlm, [conversation(tiny_questions[0])])
