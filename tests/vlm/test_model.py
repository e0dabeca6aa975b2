import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, patch, scale, zero
from headatlas.pictures import open_picture
from headatlas.proof.processor import write_checkpoint
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation, Turn, conversation
from headatlas.vlm.forward import logits_at
from headatlas.vlm.generate import generate
from headatlas.vlm.load import load_vlm
from headatlas.vlm.model import VLM
from headatlas.vlm.read import read

SPATIAL = HeadSet([Head(0, 1), Head(1, 2)])


def logprobs(vlm, chats, **kwargs):
    return [round(readout.logprob, 4) for row in read(vlm, chats, **kwargs) for readout in row]


def test_what_it_knows_of_itself(tiny_vlm):
    assert tiny_vlm.heads.shape == (2, 4)
    assert tiny_vlm.heads.d_head == 6
    assert tiny_vlm.family == "Llava"
    assert tiny_vlm.end_tokens == ("<|end|>",)
    assert tiny_vlm.takes_position_ids
    assert "2 layers x 4 heads" in repr(tiny_vlm)


@pytest.mark.parametrize("scope", ["all", "image", "prompt", "answer", "last"])
def test_a_no_op_edit_is_the_bare_model(tiny_vlm, tiny_questions, scope):
    batch = encode(tiny_vlm, [conversation(question) for question in tiny_questions])
    bare = logits_at(tiny_vlm, batch, batch.predict_mask(), range(8))
    with tiny_vlm.edit(scale(SPATIAL, 1.0), scope=scope):
        assert torch.equal(logits_at(tiny_vlm, batch, batch.predict_mask(), range(8)), bare)


def test_edits_change_answers_and_are_gone_afterwards(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    before = logprobs(tiny_vlm, chats)
    with tiny_vlm.edit(zero(SPATIAL)):
        assert tiny_vlm.edited
        assert logprobs(tiny_vlm, chats) != before
    assert not tiny_vlm.edited
    assert logprobs(tiny_vlm, chats) == before


@pytest.mark.parametrize("scope", ["all", "answer", "image", "prompt"])
def test_forced_and_generated_answers_agree_under_an_edit(tiny_vlm, tiny_questions, scope):
    with tiny_vlm.edit(scale(SPATIAL, 0.2), scope=scope):
        exact = [readout.exact for row in read(tiny_vlm, [conversation(q) for q in tiny_questions]) for readout in row]
        steps = [(question, k) for question in tiny_questions for k in range(len(question.steps))]
        said = generate(tiny_vlm, [conversation(question, upto=k) for question, k in steps], batch_size=7)
    assert exact == [text == question.steps[k].answer for text, (question, k) in zip(said, steps, strict=True)]


def test_rows_are_for_conversations_however_they_are_batched(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    kinds = [(), (zero(SPATIAL),), (scale([Head(1, 0)], 0.5), zero([Head(0, 3)]))]
    rows = [kinds[i % 3] for i in range(len(chats))]
    with tiny_vlm.edit(rows=rows):
        assert tiny_vlm.by_row
        together = read(tiny_vlm, chats, batch_size=3)
    for chat, edits, got in zip(chats, rows, together, strict=True):
        with tiny_vlm.edit(*edits):
            (alone,) = read(tiny_vlm, [chat])
        assert [r.text for r in got] == [r.text for r in alone]
        assert [r.logprob for r in got] == pytest.approx([r.logprob for r in alone], abs=1e-4)


def test_patch_values_by_row_follow_their_conversations(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    values = torch.randn(len(chats), 2, 4, 6, generator=torch.Generator().manual_seed(0))
    with tiny_vlm.edit(patch(SPATIAL, values)):
        together = logprobs(tiny_vlm, chats, batch_size=3)
    alone = []
    for chat, value in zip(chats, values, strict=True):
        with tiny_vlm.edit(patch(SPATIAL, value)):
            alone += logprobs(tiny_vlm, [chat])
    assert together == pytest.approx(alone, abs=2e-4)


def test_nested_edits_apply_one_after_the_other(tiny_vlm, tiny_questions):
    chats = [conversation(question) for question in tiny_questions]
    with tiny_vlm.edit(scale(SPATIAL, 0.5)), tiny_vlm.edit(scale(SPATIAL, 0.5)):
        nested = logprobs(tiny_vlm, chats)
    with tiny_vlm.edit(scale(SPATIAL, 0.25)):
        assert nested == pytest.approx(logprobs(tiny_vlm, chats), abs=1e-4)
    value = torch.ones(2, 4, 6)
    with tiny_vlm.edit(zero(SPATIAL), scope="answer"), tiny_vlm.edit(patch(SPATIAL, value)):
        later_wins = logprobs(tiny_vlm, chats)
    with tiny_vlm.edit(patch(SPATIAL, value)):
        assert later_wins == pytest.approx(logprobs(tiny_vlm, chats), abs=1e-4)


def test_a_direct_call_is_edited_too_or_refused(tiny_vlm, tiny_questions):
    batch = encode(tiny_vlm, [conversation(tiny_questions[0])])
    with tiny_vlm.edit(zero(SPATIAL)), torch.inference_mode():
        direct = tiny_vlm.model(**batch.inputs).logits[0]
        torch.testing.assert_close(direct, logits_at(tiny_vlm, batch, batch.mask, [0]), atol=1e-5, rtol=1e-5)
    with tiny_vlm.edit(zero(SPATIAL), scope="answer"), pytest.raises(HeadAtlasError, match="called directly"):
        tiny_vlm.model(**batch.inputs)
    with torch.inference_mode():
        tiny_vlm.model(**batch.inputs)  # and nothing is left behind


def test_the_key_of_the_edits_tells_them_apart(tiny_vlm):
    keys = set()
    for edit, scope in ((zero(SPATIAL), "all"), (zero(SPATIAL), "answer"), (scale(SPATIAL, 0.1), "all")):
        with tiny_vlm.edit(edit, scope=scope):
            keys.add(tiny_vlm.edits_key)
    assert len(keys) == 3
    assert tiny_vlm.edits_key == ()


def test_mistakes_are_named(tiny_vlm, tiny_questions):
    with pytest.raises(HeadAtlasError, match="scope"), tiny_vlm.edit(zero(SPATIAL), scope="everywhere"):
        pass
    with pytest.raises(HeadAtlasError, match="got both"), tiny_vlm.edit(zero(SPATIAL), rows=[[]]):
        pass
    chats = [conversation(question) for question in tiny_questions]
    with tiny_vlm.edit(rows=[[]]), pytest.raises(HeadAtlasError, match="rows or more, got 1"):
        read(tiny_vlm, chats)
    assert not tiny_vlm.edited


def test_answer_takes_an_image_a_path_or_an_array(tiny_vlm, tiny_questions, tmp_path):
    image = tiny_questions[0].images[0]
    image.save(tmp_path / "image.png")
    said = tiny_vlm.answer(image, "Is the red car left of the blue arrow?")
    assert said == tiny_vlm.answer(tmp_path / "image.png", "Is the red car left of the blue arrow?")
    assert said == tiny_vlm.answer(np.asarray(image), "Is the red car left of the blue arrow?")


def test_images_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(HeadAtlasError, match="cannot read image"):
        open_picture(tmp_path / "text.png")
    with pytest.raises(HeadAtlasError, match="cannot read image"):
        open_picture(str(tmp_path / "missing.png"))
    with pytest.raises(HeadAtlasError, match="uint8"):
        open_picture(np.zeros((4, 4, 3), np.float32))
    assert open_picture(Image.new("RGBA", (4, 4))).mode == "RGB"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scope_image_is_refused_where_the_picture_is_not_in_the_text(tmp_path, tiny_questions):
    vlm = load_vlm(write_checkpoint("mllama", tmp_path), device="cpu")
    assert not vlm.image_in_text
    batch = encode(vlm, [conversation(tiny_questions[0])])
    assert not batch.image_mask.any()
    with pytest.raises(HeadAtlasError, match=r"no meaning for Mllama: the picture reaches the text by cross-attention"):
        vlm.edit(zero([Head(0, 0)]), scope="image").__enter__()
    with pytest.raises(HeadAtlasError, match="needs the mask 'image'"):
        batch.positions.mask("image")


def test_logprob_is_that_of_the_readout(tiny_vlm, tiny_questions):
    question = tiny_questions[0]
    chat = Conversation(question.images, (Turn("Is it red?", "yes"),))
    want = read(tiny_vlm, [chat])[0][0].logprob
    assert tiny_vlm.logprob(question.images[0], "Is it red?", "yes") == pytest.approx(want, abs=1e-6)
    assert tiny_vlm.logprob(None, "Is it red?", "yes") != pytest.approx(want, abs=1e-3)
    with pytest.raises(HeadAtlasError, match="answer must be a text, got an empty one"):
        tiny_vlm.logprob(question.images[0], "Is it red?", " ")


def test_print_is_short_and_says_what_the_model_is(tiny_vlm):
    lines = str(tiny_vlm).splitlines()
    assert len(lines) <= 12
    assert any(line.strip() == "language model (L): 2 layers x 4 heads x 6" for line in lines)
    assert len(str(tiny_vlm.heads).splitlines()) <= 12
    assert len(repr(zero(list(tiny_vlm.heads.heads()) * 40))) < 300
    assert repr(zero("L0.H1")) == "Edit(zero: factor 0, HeadSet('L0.H1'))"


def test_what_changes_after_loading_is_looked_up(tiny_vlm, tiny_questions):
    vlm = copy.deepcopy(tiny_vlm)
    assert vlm.end_ids == tiny_vlm.end_ids
    vlm.model.generation_config.eos_token_id = 3
    assert 3 in vlm.end_ids
    vlm.model.to(torch.float64)
    assert vlm.dtype == torch.float64
    layer = vlm.model.model.language_model.layers[1]
    layer.self_attn = copy.deepcopy(layer.self_attn)  # the heads found at loading are not in the model any more
    chats = [conversation(question) for question in tiny_questions[:2]]
    with vlm.edit(zero("L1.H0 L1.H1 L1.H2")):
        edited = read(vlm, chats)
    assert edited[0][0].logprob != pytest.approx(read(vlm, chats)[0][0].logprob, abs=1e-6)


class Wrapper(nn.Module):
    """As peft's model: another name for everything, and the inner model's forward without its hooks."""

    def __init__(self, model):
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model
        self.config, self.generation_config = model.config, model.generation_config

    def forward(self, *args, **kwargs):
        return self.base_model.model.forward(*args, **kwargs)

    def get_base_model(self):
        return self.base_model.model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_model.model, name)


def test_a_wrapped_model_is_edited_and_named_like_the_one_inside(tiny_vlm, tiny_questions):
    vlm = copy.deepcopy(tiny_vlm)
    chats = [conversation(question) for question in tiny_questions[:2]]
    with vlm.edit(zero(SPATIAL)):
        want = read(vlm, chats)
    vlm.model.model.rope_deltas = torch.ones(1)
    vlm.model = Wrapper(vlm.model)
    assert vlm.family == tiny_vlm.family
    with vlm.edit(zero(SPATIAL)):
        assert read(vlm, chats) == want
    assert vlm.model.base_model.model.model.rope_deltas is None


def test_wrappers_that_cannot_be_edited_are_refused_or_taken_off(tiny_vlm):
    with pytest.raises(HeadAtlasError, match=r"must not be in DataParallel.*pass model\.module"):
        VLM("x", nn.DataParallel(tiny_vlm.model), tiny_vlm.processor)
    compiled = nn.Module()
    compiled._orig_mod = tiny_vlm.model
    assert VLM("x", compiled, tiny_vlm.processor).model is tiny_vlm.model


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks transformers for it
@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_a_learned_prompt_is_refused_because_it_shifts_positions(tiny_vlm_dir, kind):
    peft = pytest.importorskip("peft")
    vlm = load_vlm(str(tiny_vlm_dir), device="cpu")
    before = logprobs(vlm, [conversation_of_a_picture()])
    prompted = peft.get_peft_model(vlm.model, getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(HeadAtlasError, match="no learned prompt, got adapter 'default'"):
        vlm.model = prompted
    assert logprobs(vlm, [conversation_of_a_picture()]) == before  # the model that was loaded stays in use


def conversation_of_a_picture() -> Conversation:
    picture = Image.new("RGB", (48, 48), "red")
    return Conversation((picture,), (Turn("Is it red?", "yes"),))
