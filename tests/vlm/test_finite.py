"""Logits that are not numbers are refused, never scored."""

import pytest
import torch

from headatlas.activations import attention
from headatlas.errors import HeadAtlasError
from headatlas.heads import scale
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import conversation
from headatlas.vlm.evaluate import evaluate
from headatlas.vlm.finite import first_layer, require_finite
from headatlas.vlm.generate import generate
from headatlas.vlm.read import read


@pytest.fixture
def overflowing(tiny_vlm, monkeypatch):
    """The tiny model with NaN in the MLP of its second layer."""
    mlp = tiny_vlm.model.model.language_model.layers[1].mlp
    monkeypatch.setattr(mlp, "forward", lambda hidden, f=mlp.forward: f(hidden) * float("nan"))
    return tiny_vlm


def test_every_way_to_an_answer_refuses_them_and_names_the_layer(overflowing, tiny_questions):
    expected = r"logits must be finite, got NaN or infinity in float32, first in layer L1"
    with pytest.raises(HeadAtlasError, match=expected):
        read(overflowing, [conversation(question) for question in tiny_questions[:2]])
    with pytest.raises(HeadAtlasError, match=expected):
        generate(overflowing, [conversation(tiny_questions[0], upto=0)])
    for options in ({}, {"mode": "generate"}, {"mode": "generate", "context": "own"}):
        with pytest.raises(HeadAtlasError, match=expected):
            evaluate(overflowing, tiny_questions[:2], **options)
    hooks = [hook for module in overflowing.model.modules() for hook in module._forward_hooks.values()]
    assert not any(hook.__module__.startswith("headatlas") for hook in hooks)  # transformers leaves some of its own


def test_active_edits_are_named(tiny_vlm):
    nan = torch.full((1, 2), float("nan"))
    with (
        tiny_vlm.edit(scale(tiny_vlm.heads.heads(), 0.5)),
        pytest.raises(HeadAtlasError, match="under the active edits"),
    ):
        require_finite(tiny_vlm, nan)


def test_banned_tokens_are_no_fault(tiny_vlm):
    logits = torch.tensor([[0.0, float("-inf")], [1.0, 2.0]])
    require_finite(tiny_vlm, logits)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(HeadAtlasError, match="must be finite"):
            require_finite(tiny_vlm, torch.tensor([[0.0, bad], [1.0, 2.0]]))
    with pytest.raises(HeadAtlasError, match="must be finite"):
        require_finite(tiny_vlm, torch.full((1, 2), float("-inf")))


def test_no_layer_is_named_where_all_are_finite(tiny_vlm, tiny_questions):
    assert first_layer(tiny_vlm, encode(tiny_vlm, [conversation(tiny_questions[0])])) is None


@pytest.mark.parametrize("name", ["q_proj", "v_proj"])
def test_attention_refuses_them_too(tiny_vlm, tiny_questions, tmp_path, monkeypatch, name):
    """NaN in a query makes rows that are NaN, NaN in a value rows that are fine."""
    projection = getattr(tiny_vlm.model.model.language_model.layers[1].self_attn, name)
    monkeypatch.setattr(projection, "forward", lambda hidden, f=projection.forward: f(hidden) * float("nan"))
    expected = r"attention of LlamaAttention in layer 1 must be finite, got NaN or infinity in float32"
    with pytest.raises(HeadAtlasError, match=expected):
        tiny_vlm.attention(tiny_questions[0].images[0], "Is it red?")
    with pytest.raises(HeadAtlasError, match=expected):
        attention(tiny_vlm, tiny_questions[:1], out=tmp_path / "a")


def test_an_attention_map_of_a_model_that_ends_in_nan_is_refused(overflowing, tiny_questions):
    with pytest.raises(HeadAtlasError, match="logits must be finite"):
        overflowing.attention(tiny_questions[0].images[0], "Is it red?", heads=["L0.H0"])
