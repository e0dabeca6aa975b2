"""Select heads along an axis without a copy from the host at every call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor


def pick(values: Tensor, axis: int, heads: Sequence[int]) -> Tensor:
    """`values` at `heads` along `axis`: a view where the heads follow each other."""
    first, n = (heads[0], len(heads)) if len(heads) else (0, 0)
    if list(heads) == list(range(first, first + n)):
        return values if n == values.shape[axis] else values.narrow(axis, first, n)
    return values.index_select(axis, on_device(tuple(heads), values.device))


@lru_cache(maxsize=4096)
def on_device(heads: tuple[int, ...], device: torch.device) -> Int[Tensor, " n"]:
    """Numbers of heads on a device, where they stay."""
    with torch.inference_mode(False):  # such tensors cannot be used where gradients are needed
        return torch.tensor(heads, device=device)
