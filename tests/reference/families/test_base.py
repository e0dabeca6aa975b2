"""What must hold of every family, on its real classes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from headatlas.activations import capture
from headatlas.heads import find_heads
from headatlas.reference.card import measure, write_card
from headatlas.reference.losses import ATTENTION, hidden, image_features
from headatlas.reference.pool import to_float, to_uint8
from headatlas.reference.tokens import CAPTION_REQUEST, LIST_REQUEST, THING_REQUEST, Encoder
from headatlas.scenes.build import symbolic
from headatlas.scenes.caption import caption
from headatlas.vlm import evaluate, load_vlm
from headatlas.vlm.chat import Conversation, Turn, conversation, messages, render
from headatlas.vlm.generate import generate
from headatlas.vlm.read import read


@pytest.fixture(scope="module")
def questions():
    return [made.rendered() for made in symbolic(3, "train", 9)]


@pytest.fixture(scope="module")
def pixels(maker, questions):
    return to_float(maker, to_uint8([question.images[0] for question in questions], 144))


def _batch(processor, chats):
    text = render(processor, [messages(chat) for chat in chats], False)
    images = [list(chat.images) for chat in chats] if chats[0].images else None
    return processor(text=text, images=images, return_tensors="pt", padding=True, padding_side="right")


def test_pictures_are_the_processors(family, maker, shape, questions, pixels):
    """The training's pixels, laid out by the family, are what its own image processor makes of the same picture."""
    wanted = _batch(maker, [conversation(question) for question in questions])
    for name, value in family.inputs(pixels, shape).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("attention", ["sdpa", ATTENTION])
def test_hidden_is_the_models_own_forward_pass(family, model, maker, shape, questions, pixels, attention):
    chats = {True: [conversation(q) for q in questions], False: [conversation(q, images=()) for q in questions]}
    for with_image, rows in chats.items():
        batch = _batch(maker, rows)
        model.set_attn_implementation("sdpa")
        with torch.no_grad():
            wanted = model(**batch).logits
            model.set_attn_implementation(attention)
            states = hidden(family, model, batch["input_ids"], pixels if with_image else None, shape)
            found = model.lm_head(states)
        real = batch["attention_mask"].bool()
        assert not real.all()
        torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-5)


def test_rows_equal_what_the_processor_makes_of_the_conversation(family, maker, words_of):
    encoder = Encoder(words_of, family.form, 36)
    picture = (Image.new("RGB", (384, 384)),)

    def ids(chat):
        return _batch(maker, [chat])["input_ids"][0].tolist()

    for made in symbolic(6, "train", 5):
        question = made.question
        row = encoder.steps(question)
        assert row.ids.tolist() == ids(conversation(question, images=picture))
        assert encoder.without_image(row).ids.tolist() == ids(conversation(question, images=()))
        assert encoder.direct(question).ids.tolist() == ids(conversation(question, images=picture, direct=True))
        told = Conversation(picture, (Turn(CAPTION_REQUEST, caption(made.scene)),))
        row = encoder.caption(made.scene)
        assert row.ids.tolist() == ids(told)
        assert row.ids.tolist().count(encoder.image) == 36
        things = [sentence.split() for sentence in caption(made.scene).split(".")[1:-1]]
        turns = [Turn(f"{THING_REQUEST} {' '.join(words[2:4])}.", " ".join(words)) for words in things]
        order = np.arange(len(things))
        assert encoder.things(row, order).ids.tolist() == ids(Conversation(picture, tuple(turns)))
        named = [
            words[2:4] + [w for w in words[:2] + words[4:] if w not in ("row", "column", "facing")] for words in things
        ]
        list_ = Turn(LIST_REQUEST, "".join(f"{' '.join(words)}." for words in named))
        assert encoder.listing(row, order).ids.tolist() == ids(Conversation(picture, (list_,)))


@torch.no_grad()
def test_an_image_token_is_a_cell_of_the_board(family, words_of, shape):
    """With the tower's attention silenced, a cell's pixels change its own token, in reading order, and no other."""
    model = family.model(words_of, shape, 3).eval()
    for site in find_heads(model).tower("V"):
        site.module.weight.zero_()
    torch.manual_seed(0)
    before = torch.randn(1, 3, 144, 144)
    for cell in (0, 7, 23, 35):
        after = before.clone()
        top, left = cell // 6 * 24, cell % 6 * 24
        after[..., top : top + 24, left : left + 24] += 1
        change = image_features(family, model, after, shape) - image_features(family, model, before, shape)
        assert change[0].norm(dim=-1).nonzero().flatten().tolist() == [cell]


def test_full_size_is_small_and_depends_on_the_seed_alone(family, words_of):
    torch.manual_seed(0)
    first = family.model(words_of, family.shape, 1)
    torch.manual_seed(5)
    second, other = (family.model(words_of, family.shape, seed).state_dict() for seed in (1, 2))
    assert sum(parameter.numel() for parameter in first.parameters()) * 2 < 7.9e6
    assert family.shape.image_tokens == 36
    differs = False
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
        differs |= not torch.equal(other[name], value)
    assert differs


def test_a_run_trains_every_part(family, run_of, words_of, shape):
    """Each parameter of tower, projector and language model has moved, and the log tells of all four stages."""
    fresh = dict(family.model(words_of, shape, run_of.recipe.seed).named_parameters())
    still = [name for name, value in run_of.model.named_parameters() if torch.equal(value, fresh[name])]
    assert [name for name in still if not (family.name == "llava" and _unused(name))] == []
    lines = [json.loads(line) for line in (run_of.work / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if "loss" in line] == ["vision", "lookup", "whole", "finish"]


def _unused(name):
    """What no answer depends on: CLIP's norm over its class token, which is dropped."""
    return "vision_tower.post_layernorm" in name


def test_patches_leave_stage_1_at_the_length_that_stage_2_wants(family, run_of):
    run_of._scale_features()
    pixels = to_float(run_of.processor, np.array(run_of.held_out.pixels))
    with torch.no_grad():
        norms = run_of.features(pixels).norm(dim=-1)
    assert norms.mean() == pytest.approx(run_of.recipe.feature_norm, rel=1e-4)


def test_exported_folder_is_an_ordinary_model(family, run_of, folder_of):
    model = AutoModelForImageTextToText.from_pretrained(folder_of)
    processor = AutoProcessor.from_pretrained(folder_of)
    assert type(model) is family.model_class
    assert type(processor) is type(run_of.processor)
    assert {t.dtype for t in load_file(folder_of / "model.safetensors").values()} == {torch.float16}
    ours = dict(run_of.model.named_parameters())
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, ours[name].half().float(), rtol=0, atol=0)


def test_exported_model_is_read_captured_and_generates(family, shape, folder_of, questions, tmp_path):
    vlm = load_vlm(folder_of)
    assert vlm.heads.shape == (shape.layers, shape.heads)
    assert len(vlm.heads.tower("V")) == shape.vision_layers
    answers = evaluate(vlm, questions)
    assert len(answers) == sum(len(question.steps) for question in questions)
    acts = capture(vlm, questions, out=tmp_path / "acts")
    assert acts.z("gold").shape == (len(answers), *vlm.heads.shape, vlm.heads.d_head)
    # Without images after images, and the other way round: nothing is left over from one batch to the next.
    for images in (None, (), None):
        chats = [conversation(question, images=images) for question in questions]
        first = [row[0].text for row in read(vlm, chats)]
        said = generate(
            vlm, [conversation(question, upto=0, images=images) for question in questions], max_new_tokens=1
        )
        assert [text[: len(word)] for text, word in zip(first, said, strict=True)] == said


def test_card_tells_the_family(family, run_of, folder_of, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(folder_of, folder)
    write_card(folder, run_of.recipe, 1, measure(folder, 1))
    card = (folder / "README.md").read_text()
    assert card.count(f"# {family.shipped}\n") == 1
    assert family.model_class.__name__ in card
    assert family.form.end in card
    assert family.decoder in card
