"""Low-rank updates of linear layers, W + B A, put into a model by peft and taken out again.

The base weights are never written: peft wraps the layers, and on leaving the original layers are put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.vlm.identity import adapters

if TYPE_CHECKING:
    from headatlas.vlm.loaded import LoadedModel

ADAPTER = "default"
"""The name that peft gives an adapter that it loads."""

LowRank = Mapping[str, tuple[Float[Tensor, "r i"], Float[Tensor, "o r"]]]
"""By path of the linear layer: A and B of its update B A."""


def require_peft() -> Any:
    """The package peft; `HeadAtlasError` if it is not installed."""
    try:
        import peft
    except ImportError as error:
        raise HeadAtlasError("low-rank updates need peft: pip install 'headatlas[peft]'") from error
    return peft


def linear_at(vlm: LoadedModel, path: str) -> nn.Linear:
    """The linear layer at `path`; `HeadAtlasError` unless it is a plain one with floating weights in memory."""
    try:
        module = vlm.model.get_submodule(path)
    except AttributeError as error:
        raise HeadAtlasError(f"{vlm.family} must have a layer {path!r}, but has none") from error
    if not isinstance(module, nn.Linear) or not module.weight.is_floating_point():
        raise HeadAtlasError(f"{path} must be a plain linear layer with floating weights, got {type(module).__name__}")
    if module.weight.is_meta:  # what is computed from it, or written into it, would have no values
        raise HeadAtlasError(
            f"{path} must be in memory, but its weights are offloaded: load the model without offloading"
        )
    return module


def lora_config(ranks: Mapping[str, int], scales: Mapping[str, float] | None = None) -> Any:
    """peft's configuration of an update of rank `ranks[path]`, scaled by `scales[path]` (1 by default), for each layer."""
    rank = max(ranks.values())
    scale = scales or dict.fromkeys(ranks, 1.0)
    return require_peft().LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=sorted(ranks),
        rank_pattern={path: r for path, r in ranks.items() if r != rank},
        alpha_pattern={path: ranks[path] * scale[path] for path in ranks if (ranks[path], scale[path]) != (rank, 1.0)},
    )


@contextmanager
def adapted(vlm: LoadedModel, config: Any) -> Iterator[dict[str, Any]]:
    """Within the block, the layers that `config` names are wrapped by peft; gives the wrapper of each by path.

    Raises:
        HeadAtlasError: the model has adapters already, or a layer is used in several places.
    """
    there = adapters(vlm.model)
    if there != "none":
        raise HeadAtlasError("the model must have no adapters yet: merge them (model.merge_and_unload()) first")
    originals = {path: linear_at(vlm, path) for path in config.target_modules}
    if shared := sorted(originals.keys() - dict(vlm.model.named_modules()).keys()):
        raise HeadAtlasError(f"{shared[0]} must be a layer of its own, but is one layer with another name, too")
    before = vars(vlm.model).get("peft_config")
    try:
        require_peft().LoraModel(vlm.model, config, ADAPTER)
        yield {path: vlm.model.get_submodule(path) for path in originals}
    finally:
        # By hand and not by peft's `unload`, so that a failure half way through wrapping is undone, too.
        for path, module in originals.items():
            parent, _, name = path.rpartition(".")
            setattr(vlm.model.get_submodule(parent), name, module)
        vars(vlm.model).pop("peft_config", None)
        if before is not None:
            vlm.model.peft_config = before


@contextmanager
def updated(vlm: LoadedModel, updates: LowRank) -> Iterator[None]:
    """Within the block each layer computes W x + B A x."""
    if not updates:
        yield
        return
    with adapted(vlm, lora_config({path: len(a) for path, (a, _) in updates.items()})) as layers:
        set_updates(layers, updates)
        yield


@torch.no_grad()
def set_updates(layers: Mapping[str, Any], updates: LowRank) -> None:
    """Write A and B into peft's layers, which scale them by 1."""
    for path, (a, b) in updates.items():
        layers[path].lora_A[ADAPTER].weight.copy_(a)
        layers[path].lora_B[ADAPTER].weight.copy_(b)
        layers[path].requires_grad_(False)
