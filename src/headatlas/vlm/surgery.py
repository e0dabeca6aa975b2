"""Changes to a model's weights whose effect on every head is known exactly, without training.

* `scale_output`: multiply columns of the output projection by a factor. With a small factor the heads become *latent*: their z is
  unchanged, but has almost no effect. A gain of 1 / factor on z restores the original model exactly.
* `scaled_output`: the same for as long as a `with` block lasts.
* `scale_output(..., 0.0)`: make *distractors*, whose z can still be decoded but has no effect at all.
* `permute_heads`: put the heads of a layer in another order. A scorer's map must be permuted with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import Site
from headatlas.heads.address import Heads, as_heads
from headatlas.vlm.model import VLM


@torch.no_grad()
def scale_output(vlm: VLM, heads: Heads, factor: float) -> None:
    """Multiply the output projection's columns of some heads by `factor`, in place.

    Args:
        vlm: the model; its weights change.
        heads: heads of the language model.
        factor: finite; 0 makes distractors, 0.05 latent heads.

    Raises:
        HeadAtlasError: no heads, a head that does not exist, a factor that is not finite, or an output projection that is
            not a plain linear layer (a quantised one).
    """
    chosen = sorted(as_heads(heads))
    if not chosen:
        raise HeadAtlasError("scale_output needs at least one head, got none")
    if not torch.isfinite(torch.tensor(float(factor))):
        raise HeadAtlasError(f"factor must be finite, got {factor}")
    sites = {site.layer: site for site in vlm.heads.tower("L")}
    for head in chosen:
        if head.tower != "L" or head.layer not in sites or head.head >= sites[head.layer].n_heads:
            raise HeadAtlasError(f"heads must be in the language model's grid of {vlm.heads.shape}, got {head}")
        _weight(sites[head.layer])  # all errors are raised before the first change
    for head in chosen:
        site = sites[head.layer]
        _weight(site)[:, head.head * site.d_head : (head.head + 1) * site.d_head] *= factor


@contextmanager
def scaled_output(vlm: VLM, heads: Heads, factor: float) -> Iterator[None]:
    """Within the block the model is as after `scale_output`; afterwards its weights are as before, bit by bit.

    Raises:
        HeadAtlasError: as `scale_output`.
    """
    layers = {head.layer for head in as_heads(heads)}
    saved = {site.layer: _weight(site).detach().clone() for site in vlm.heads.tower("L") if site.layer in layers}
    try:
        scale_output(vlm, heads, factor)
        yield
    finally:
        with torch.no_grad():
            for site in vlm.heads.tower("L"):
                if site.layer in saved:
                    _weight(site).copy_(saved[site.layer])


@torch.no_grad()
def permute_heads(vlm: VLM, layer: int, order: Sequence[int]) -> None:
    """Put the heads of a layer in another order, in place: new head `i` is old head `order[i]`.

    The model's outputs stay the same.

    Args:
        vlm: the model; its weights change.
        layer: layer of the language model.
        order: a permutation of the layer's heads. With grouped queries, heads that share a key-value head must stay together.

    Raises:
        HeadAtlasError: not such a permutation, or a layer without separate linear query, key and value projections.
    """
    site = next((site for site in vlm.heads.tower("L") if site.layer == layer), None)
    if site is None or sorted(order) != list(range(site.n_heads)):
        raise HeadAtlasError(
            f"order must be a permutation of the heads of an existing layer, got layer {layer}, {list(order)}"
        )
    attention = vlm.model.get_submodule(site.name.rpartition(".")[0])
    query, key, value = (getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj"))
    if not all(isinstance(part, nn.Linear) for part in (query, key, value)):
        raise HeadAtlasError(f"layer {layer}: permuting heads needs q_proj, k_proj and v_proj as linear layers")
    assert isinstance(query, nn.Linear)
    assert isinstance(key, nn.Linear)
    assert isinstance(value, nn.Linear)
    n_groups = value.out_features // site.d_head
    size = site.n_heads // n_groups
    groups = []
    for group in range(n_groups):
        sources = {order[group * size + i] // size for i in range(size)}
        if len(sources) != 1:
            raise HeadAtlasError(
                f"order must keep the {size} query heads of each key-value head together, got {list(order)}"
            )
        groups.append(sources.pop())
    for linear, heads in ((query, order), (key, groups), (value, groups)):
        _reorder(linear.weight, heads)
        if linear.bias is not None:
            _reorder(linear.bias, heads)
    weight = _weight(site)
    weight.copy_(weight.unflatten(1, (site.n_heads, -1))[:, list(order)].flatten(1))


def _reorder(tensor: Tensor, order: Sequence[int]) -> None:
    tensor.copy_(tensor.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1))


def _weight(site: Site) -> Tensor:
    """The output projection's weight [d_model, H D]."""
    module = site.module
    if (
        not isinstance(module, nn.Linear)
        or not module.weight.is_floating_point()
        or type(module.weight) is not nn.Parameter
    ):
        raise HeadAtlasError(
            f"{site.name}: surgery needs a plain linear output projection, got {type(module).__name__} with weights "
            f"{type(getattr(module, 'weight', None)).__name__}; load the model without quantization"
        )
    if module.weight.is_meta:
        raise HeadAtlasError(
            f"{site.name}: surgery needs weights in memory, got offloaded ones; load the model onto one device"
        )
    return module.weight
