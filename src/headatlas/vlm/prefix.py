"""Reuse keys and values of a prompt for a later prompt that begins in the same way.

The prefix is placed into the new batch exactly where its tokens would be if the batch were run from the beginning: padded on
the left, every token in its own column, so that positions, causal masks and sliding windows are the same. Only the later
columns are computed. With other kinds of caches (cross-attention, recurrent layers) the batch is run in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from headatlas.vlm.batch import Batch

_PLAIN = {"full_attention", "sliding_attention"}


@dataclass(frozen=True, eq=False)
class Prefix:
    """The cached keys and values of B rows.

    Attributes:
        cache: keys and values of every layer, `[B, Hkv, T, D]`.
        ids: the tokens they belong to, on the CPU, at least T columns.
        spans: `(start, end)` of the columns of each row that can be used: neither padding nor what was appended to a finished
            row while others went on.
    """

    cache: DynamicCache
    ids: Int[Tensor, "B T"]
    spans: tuple[tuple[int, int], ...]


def new_cache(model: Any) -> DynamicCache | None:
    """An empty cache that keeps every token in every layer; None for models that need another kind."""
    text = model.config.get_text_config(decoder=True)
    if not set(getattr(text, "layer_types", None) or ()) <= _PLAIN:
        return None
    # Made without the configuration: a layer with a sliding window would drop tokens that a shorter prefix still needs.
    return DynamicCache()


def go_on(prefix: Prefix, rows: Sequence[int], batch: Batch) -> DynamicCache | None:
    """A cache of the first columns of `batch`, whose rows begin like the rows `rows` of the prefix.

    Args:
        prefix: may have other rows too; a row may be used more than once.
        rows: for each row of the batch, the row of the prefix.
        batch: open, padded on the left.

    Returns:
        None if nothing can be reused: the cache is of another kind or empty, or an image comes after the shared part.
    """
    length = batch.ids.shape[1]
    fresh = max(
        length - start - _common(prefix, row, batch.ids[i, start : length - 1])
        for i, (row, start) in enumerate(zip(rows, batch.starts, strict=True))
    )
    kept = length - fresh
    cached = prefix.cache.get_seq_length()
    layers: list[Any] = list(prefix.cache.layers)
    if not layers or not all(_plain(layer, cached) for layer in layers):
        return None
    if cached < max(end for _, end in prefix.spans):  # the model ran without filling it
        return None
    if kept <= 0 or bool(batch.image_mask[:, kept:].any()):
        return None
    shifts = [prefix.spans[row][0] - start for row, start in zip(rows, batch.starts, strict=True)]
    # Columns under the batch's padding are never attended to.
    columns = (torch.arange(kept) + torch.tensor(shifts)[:, None]).clamp(0, cached - 1)
    return _realigned(layers, torch.tensor(list(rows)), columns)


def forget_positions(model: Any) -> None:
    """Make families with multimodal positions compute them again; they store those of the last batch with an image.

    All submodules are searched, so that wrappers around the model do not matter.
    """
    for module in model.modules():
        if module.__dict__.get("rope_deltas") is not None:
            module.rope_deltas = None


def _plain(layer: Any, cached: int) -> bool:
    return type(layer) is DynamicLayer and layer.keys is not None and layer.keys.shape[2] == cached


def _common(prefix: Prefix, row: int, ids: Int[Tensor, " n"]) -> int:
    """How many of `ids` the row of the prefix begins with."""
    start, end = prefix.spans[row]
    n = min(end - start, len(ids))
    other = (prefix.ids[row, start : start + n] != ids[:n]).nonzero()
    return int(other[0]) if len(other) else n


def _realigned(layers: list[Any], rows: Int[Tensor, " B"], columns: Int[Tensor, "B C"]) -> DynamicCache:
    """A new cache of these columns of these rows."""
    cache = DynamicCache()
    for old in layers:
        layer = DynamicLayer()
        layer.lazy_initialization(old.keys, old.values)
        device = old.keys.device
        layer.keys, layer.values = (_pick(part, rows.to(device), columns.to(device)) for part in (old.keys, old.values))
        cache.layers.append(layer)
    return cache


def _pick(values: Tensor, rows: Int[Tensor, " B"], columns: Int[Tensor, "B C"]) -> Tensor:
    """`values [B', H, T, D]` at some columns of some rows: `[B, H, C, D]`."""
    return values[rows[:, None], :, columns].transpose(1, 2)
