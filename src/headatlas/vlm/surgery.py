"""Changes to a model's weights whose effect on every head is known exactly, without training.

* `scale_output`: multiply columns of the output projection by a factor. With a small factor the heads become *latent*: their z is
  unchanged, but has almost no effect. A gain of 1 / factor on z restores the original model exactly.
* `scaled_output`: the same for as long as a `with` block lasts.
* `scale_output(..., 0.0)`: make *distractors*, whose z can still be decoded but has no effect at all.
* `permute_heads`: put the heads of a layer in another order. A scorer's map must be permuted with them.
* `copy_head`: let a head compute and write what another head of its layer does.
* `mix_output`: let a head write a linear function of its z.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, Site
from headatlas.heads.address import Heads, as_heads
from headatlas.vlm.model import VLM
from headatlas.vlm.saving import require_own


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
        _weight(vlm, sites[head.layer])  # all errors are raised before the first change
    for head in chosen:
        site = sites[head.layer]
        _weight(vlm, site)[:, head.head * site.d_head : (head.head + 1) * site.d_head] *= factor


@contextmanager
def scaled_output(vlm: VLM, heads: Heads, factor: float) -> Iterator[None]:
    """Within the block the model is as after `scale_output`; afterwards its weights are as before, bit by bit.

    Raises:
        HeadAtlasError: as `scale_output`.
    """
    layers = {head.layer for head in as_heads(heads)}
    saved = {site.layer: _weight(vlm, site).detach().clone() for site in vlm.heads.tower("L") if site.layer in layers}
    try:
        scale_output(vlm, heads, factor)
        yield
    finally:
        with torch.no_grad():
            for site in vlm.heads.tower("L"):
                if site.layer in saved:
                    _weight(vlm, site).copy_(saved[site.layer])


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
    query, key, value = _projections(vlm, site)
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
    weight = _weight(vlm, site)
    weight.copy_(weight.unflatten(1, (site.n_heads, -1))[:, list(order)].flatten(1))


@torch.no_grad()
def copy_head(vlm: VLM, source: Head, target: Head, strength: float = 1.0) -> None:
    """Let `target` have the z of `source`, and write `strength` times what `source` writes, in place.

    What `target` did before is lost. If its work was of no use and both write half of what `source` wrote, the model's outputs
    stay the same.

    Args:
        vlm: the model; its weights change.
        source: a head of the language model.
        target: another head of the same layer. With grouped queries it must share its key-value head.
        strength: finite.

    Raises:
        HeadAtlasError: heads that do not exist, are the same or not of one layer or group; a strength that is not finite; or a
            layer without separate linear query, key, value and output projections.
    """
    site = next((site for site in vlm.heads.tower("L") if site.layer == source.layer), None)
    if not math.isfinite(strength):
        raise HeadAtlasError(f"strength must be finite, got {strength}")
    inside = site is not None and all(head.tower == "L" and head.head < site.n_heads for head in (source, target))
    if site is None or not inside or source.layer != target.layer or source.head == target.head:
        raise HeadAtlasError(f"heads must be two of one layer of a {vlm.heads.shape} grid, got {source} and {target}")
    query, key, value = _projections(vlm, site)
    size = site.n_heads // (value.out_features // site.d_head)
    if size > 1 and source.head // size != target.head // size:
        raise HeadAtlasError(
            f"{source} and {target} must share a key-value head (each belongs to {size} heads that stand together)"
        )
    weight = _weight(vlm, site)
    for linear in (query,) if size > 1 else (query, key, value):
        for tensor in (linear.weight, linear.bias):
            if tensor is not None:
                rows = tensor.unflatten(0, (site.n_heads, -1))
                rows[target.head] = rows[source.head]
    columns = weight.unflatten(1, (site.n_heads, -1))
    columns[:, target.head] = strength * columns[:, source.head]


@torch.no_grad()
def mix_output(vlm: VLM, head: Head, matrix: Float[Tensor, "D D"]) -> None:
    """Let a head write what it would write if its z were `matrix` times its z, in place; its z is unchanged.

    Args:
        vlm: the model; its weights change.
        head: a head of the language model.
        matrix: finite, of the size of z.

    Raises:
        HeadAtlasError: no such head, a matrix that is not finite or of another size, or an output projection that is not a plain
            linear layer.
    """
    site = next((site for site in vlm.heads.tower("L") if site.layer == head.layer), None)
    if site is None or head.tower != "L" or head.head >= site.n_heads:
        raise HeadAtlasError(f"head must be in the language model's grid of {vlm.heads.shape}, got {head}")
    size = site.d_head
    if matrix.shape != (size, size) or not bool(torch.isfinite(matrix).all()):
        raise HeadAtlasError(f"matrix must be finite and {size} x {size}, got {tuple(matrix.shape)}")
    columns = _weight(vlm, site)[:, head.head * size : (head.head + 1) * size]
    columns.copy_((columns.double() @ matrix.to(columns.device).double()).to(columns.dtype))


def key_value_group(vlm: VLM, head: Head) -> list[Head]:
    """The other heads into which `head` can be copied: those of its key-value head, or of its layer if each has its own.

    Raises:
        HeadAtlasError: as `copy_head`.
    """
    site = next((site for site in vlm.heads.tower("L") if site.layer == head.layer), None)
    if site is None or head.tower != "L" or head.head >= site.n_heads:
        raise HeadAtlasError(f"heads must be in the language model's grid of {vlm.heads.shape}, got {head}")
    size = site.n_heads // (_projections(vlm, site)[2].out_features // site.d_head)
    first, count = (head.head // size * size, size) if size > 1 else (0, site.n_heads)
    return [Head(head.layer, number) for number in range(first, first + count) if number != head.head]


def _projections(vlm: VLM, site: Site) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    """The query, key and value projections of a layer, all plain linear ones, beside which nothing differs from head to head."""
    attention = vlm.model.get_submodule(site.name.rpartition(".")[0])
    query, key, value = (getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj"))
    if not all(isinstance(part, nn.Linear) for part in (query, key, value)):
        raise HeadAtlasError(
            f"layer {site.layer}: copying or permuting heads needs q_proj, k_proj and v_proj as linear layers"
        )
    assert isinstance(query, nn.Linear)
    assert isinstance(key, nn.Linear)
    assert isinstance(value, nn.Linear)
    moved = {id(p) for linear in (query, key, value, site.module) for p in linear.parameters()}
    size = query.out_features // site.n_heads
    for name, parameter in attention.named_parameters():
        if id(parameter) not in moved and not ("norm" in name and parameter.numel() == size):  # of every head alike
            raise HeadAtlasError(
                f"layer {site.layer}: heads cannot be copied or permuted, because {name} may be of its own for each of them"
            )
    return query, key, value


def _reorder(tensor: Tensor, order: Sequence[int]) -> None:
    tensor.copy_(tensor.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1))


def _weight(vlm: VLM, site: Site) -> Tensor:
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
    require_own(vlm.model, [module.weight])
    return module.weight
