"""Some positions of a tensor, and a block's call cut down to them.

What a block is told beside its hidden states depends on the position (rotary angles), on the whole text (cross-attention
states), or on neither; what is not known to be one of these is refused. Knows tensors and names of arguments; knows no blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headatlas.vlm.stack import Call, Unfit


def places(where: Bool[Tensor, "B T"]) -> tuple[Int[Tensor, "B M"], Bool[Tensor, "B M"]]:
    """Positions where `where` is True, in order, as one rectangle, and which of its places are real: rows with fewer than the
    most are filled up with other positions."""
    counts = where.sum(1)
    width = int(counts.max())
    at = where.int().argsort(dim=1, descending=True, stable=True)[:, :width]
    return at, torch.arange(width, device=where.device) < counts[:, None]


def take(values: Tensor, at: Int[Tensor, "B Q"]) -> Tensor:
    """`values [B, T, d]` at the positions of each row: `[B, Q, d]`."""
    return torch.take_along_dim(values, at.to(values.device)[..., None], 1)


def call_at(call: Call, at: Int[Tensor, "B Q"], length: int, **replaced: Any) -> Call:
    """The call of a block for some of its T = `length` positions alone; keywords in `replaced` that it has are taken as
    given.

    Raises:
        Unfit: an argument depends on the position in a way that is not known here.
    """
    if call.args:
        raise Unfit("its blocks take more than the hidden states by position")
    made = {name: value for name, value in replaced.items() if name in call.kwargs}
    for name, value in call.kwargs.items():
        if name not in made:
            made[name] = (
                _ALONG[name](value, at) if name in _ALONG and value is not None else _plain(name, value, length)
            )
    return Call((), made)


def _plain(name: str, value: Any, length: int) -> Any:
    if name in _WHOLE:
        return value
    parts = value if isinstance(value, tuple | list) else (value,)
    if any(isinstance(part, dict) for part in parts):
        raise Unfit(f"its blocks take {name}, a dict")
    if any(isinstance(part, Tensor) and part.dim() and length in part.shape for part in parts):
        raise Unfit(f"its blocks take {name}, which depends on the position")
    return value


def _rotary(value: Any, at: Tensor) -> Any:
    if isinstance(value, Tensor):
        return torch.take_along_dim(value, at.to(value.device)[..., None], -2)
    if isinstance(value, tuple):
        return tuple(_rotary(part, at) for part in value)
    raise Unfit(f"its positions come as a {type(value).__name__}")


_ALONG: dict[str, Callable[[Any, Tensor], Any]] = {
    "position_embeddings": _rotary,
    "position_ids": lambda value, at: torch.take_along_dim(value, at.to(value.device), -1),
    "full_text_row_masked_out_mask": lambda value, at: torch.take_along_dim(
        value, at.to(value.device)[:, None, :, None], 2
    ),
    "cross_attention_mask": lambda value, at: torch.take_along_dim(value, at.to(value.device)[:, None, :, None], 2),
}
"""Arguments of blocks that are cut along the tokens. A family with one more gets one more line."""
_WHOLE = ("cross_attention_states",)
