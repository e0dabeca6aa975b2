import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headatlas.reference.losses import ATTENTION, answer_loss, hidden
from headatlas.reference.patches import PATCH_FIELDS, PatchHeads
from headatlas.scenes.build import symbolic
from headatlas.vlm.chat import conversation, messages, render

from .conftest import TINY


@pytest.fixture(scope="module")
def model(llava, tokenizer):
    return llava.model(tokenizer, TINY, 3).eval()


@pytest.fixture(scope="module")
def batch(processor):
    chats = [conversation(made.rendered()) for made in symbolic(3, "train", 9)]
    text = render(processor, [messages(chat) for chat in chats], False)
    return processor(text=text, images=[list(c.images) for c in chats], return_tensors="pt", padding=True)


@pytest.mark.parametrize("attention", ["sdpa", ATTENTION])
def test_hidden_is_the_models_own_forward_pass(llava, model, batch, attention):
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        wanted = model(**batch).logits
        model.set_attn_implementation(attention)
        found = model.lm_head(hidden(llava, model, batch["input_ids"], batch["pixel_values"], TINY))
    real = batch["attention_mask"].bool()
    assert not real.all()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-5)


def test_hidden_with_two_pictures_is_the_models_own_forward_pass(llava, processor, model):
    questions = [made.rendered() for made in symbolic(3, "train", 9)]
    chats = [conversation(q, images=(q.images[0], questions[i - 1].images[0])) for i, q in enumerate(questions)]
    text = render(processor, [messages(chat) for chat in chats], False)
    batch = processor(text=text, images=[list(c.images) for c in chats], return_tensors="pt", padding=True)
    with torch.no_grad():
        wanted = model(**batch).logits
        pixels = batch["pixel_values"].unflatten(0, (3, 2))
        found = model.lm_head(hidden(llava, model, batch["input_ids"], pixels, TINY))
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-5)


def test_answer_loss_is_the_weighted_cross_entropy(llava, model, batch):
    ids = batch["input_ids"]
    weights = torch.zeros(ids.shape)
    weights[0, 50:53], weights[1, 60] = 2.0, 0.5
    with torch.no_grad():
        states = hidden(llava, model, ids, batch["pixel_values"], TINY)
        each = F.cross_entropy(model.lm_head(states)[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        found = answer_loss(model, states, ids, weights)
    wanted = (each * weights[:, 1:]).sum() / weights.sum()
    torch.testing.assert_close(found, wanted)


def test_patch_heads_learn_what_they_are_shown():
    torch.manual_seed(0)
    labels = np.random.default_rng(0).integers(0, 2, (2, 36, len(PATCH_FIELDS))).astype(np.uint8)
    labels[:, 20:, 1] = 255
    features = torch.randn(2, 36, 64)
    heads = PatchHeads(64)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    for _ in range(60):
        loss, accuracy = heads(features, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert list(accuracy) == list(PATCH_FIELDS)
    assert min(accuracy.values()) > 0.9
