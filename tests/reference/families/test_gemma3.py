import pytest
import torch

from headatlas.reference.build import build_tokenizer
from headatlas.reference.families import FAMILIES
from headatlas.reference.families.gemma3 import QUIET, WINDOW
from headatlas.reference.tokens import scene_words

from .conftest import tiny


@pytest.fixture(scope="module")
def gemma():
    return FAMILIES["gemma3"]


@pytest.fixture(scope="module")
def built(gemma):
    return gemma.model(build_tokenizer(scene_words(), gemma.form), tiny(gemma), 0)


def test_masks(gemma, built):
    masks = gemma.context(built, torch.zeros(2, 120, dtype=torch.long), 7, tiny(gemma))["attention_mask"]
    full, sliding = (masks[kind][0, 0] for kind in ("full_attention", "sliding_attention"))
    assert full[7, 42]  # image tokens see later ones
    assert not full[6, 42]
    assert not full[7, 43]
    assert full[110, 0]
    assert sliding[110, 110 - WINDOW + 1]
    assert not sliding[110, 110 - WINDOW]


def test_fresh_weights_show_the_picture(gemma, built):
    assert built.model.multi_modal_projector.mm_input_projection_weight.std() > 0.1
    for layer in built.model.language_model.layers:
        for norm in (layer.post_attention_layernorm, layer.post_feedforward_layernorm):
            torch.testing.assert_close(1 + norm.weight, torch.full_like(norm.weight, QUIET))


def test_heads_are_wider_than_their_share(gemma):
    assert gemma.config(gemma.shape, 600, 1, 2, build_tokenizer((), gemma.form)).text_config.head_dim == 24
