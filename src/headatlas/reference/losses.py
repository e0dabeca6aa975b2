"""Forward passes and losses of the training stages.

For rows that are padded on the right and have their picture in the same place, `hidden` equals the model's own forward pass
(tested for each family), but is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from headatlas.reference.build import Shape
from headatlas.reference.families.base import Family

ATTENTION = "sdpa_float32"


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """PyTorch's attention in float32 also under autocast: its bfloat16 backward pass on CPUs is four times slower."""
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if key.shape[1] < query.shape[1]:
        key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], 1) for states in (key, value))
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(
            query.float(),
            key.float(),
            value.float(),
            attn_mask=attention_mask,
            scale=scaling,
            is_causal=causal and attention_mask is None,
        )  # fmt: skip
    return out.transpose(1, 2).to(query.dtype).contiguous(), None


AttentionInterface.register(ATTENTION, _attention)


def image_features(
    family: Family, model: PreTrainedModel, pixels: Float[Tensor, "B 3 S S"], shape: Shape
) -> Float[Tensor, "B P E"]:
    """Return the projected patches of each picture, one per cell, as the language model gets them."""
    find: Any = model.get_image_features
    features: Any = find(**family.inputs(pixels, shape))
    pooled: Any = features.pooler_output
    return pooled if isinstance(pooled, Tensor) else torch.stack(list(pooled))


def hidden(
    family: Family,
    model: PreTrainedModel,
    ids: Int64[Tensor, "B T"],
    pixels: Float[Tensor, "B *images 3 S S"] | None,
    shape: Shape,
    language: Callable[..., Any] | None = None,
    frozen: bool = False,
) -> Float[Tensor, "B T E"]:
    """Return the language model's last hidden states.

    Args:
        family: the model's family.
        model: the VLM.
        ids: rows padded on the right, on the CPU; with `pixels`, the image tokens are in the same place in every row.
        pixels: one normalized picture per row, [B, 3, S, S], or several, [B, n, 3, S, S], the tokens of each of which are
            contiguous and as many as its features; None for rows without picture.
        shape: the model's sizes.
        language: used in place of the family's language model, such as its compiled form.
        frozen: no gradients for vision tower and projector.
    """
    embedded = model.get_input_embeddings()(ids.to(model.device))
    at = None
    if pixels is not None:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = image_features(family, model, pixels.flatten(0, -4), shape)
        features = features.to(embedded.dtype).unflatten(0, (len(ids), -1))
        places = (ids[0] == model.config.image_token_id).nonzero().flatten().tolist()
        firsts = places[:: features.shape[2]]
        at = firsts[0]
        for first, part in zip(firsts, features.unbind(1), strict=True):
            embedded = torch.cat([embedded[:, :first], part, embedded[:, first + part.shape[1] :]], 1)
    run = family.language_model(model) if language is None else language
    # Padding on the right needs no mask: no earlier token can attend to it.
    return run(inputs_embeds=embedded, use_cache=False, **family.context(model, ids, at, shape)).last_hidden_state


def answer_loss(
    model: PreTrainedModel, states: Tensor, ids: Int64[Tensor, "B T"], weights: Float[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Return the weighted mean cross-entropy (nats) of tokens with a weight, each predicted one position earlier."""
    rows, columns = weights[:, 1:].nonzero(as_tuple=True)
    logits = model.lm_head(at_places(states, rows, columns)).float()  # type: ignore[operator]
    each = F.cross_entropy(logits, ids[rows, columns + 1].to(states.device), reduction="none")
    weight = weights[rows, columns + 1].to(states.device)
    return (each * weight).sum() / weight.sum()


def at_places(
    states: Float[Tensor, "B T E"], rows: Int64[Tensor, " n"], columns: Int64[Tensor, " n"]
) -> Float[Tensor, "n E"]:
    """Return the states at places that are given on the CPU, where finding them does not wait for the device."""
    return states[rows.to(states.device), columns.to(states.device)]
