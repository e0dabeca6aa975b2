"""Select some positions of a tensor, and restrict the call of a decoder block to them.

The other arguments of a block depend on the position (rotary angles), on the whole text (cross-attention states), or on
neither. An argument that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from headatlas.vlm.stack import Call, Unfit


def take(values: Tensor, at: Int[Tensor, "B Q"]) -> Tensor:
    """`values [B, T, d]` at the positions `at [B, Q]` of each row: `[B, Q, d]`."""
    return torch.take_along_dim(values, at.to(values.device)[..., None], 1)


Cut = dict[tuple[str, int], tuple[Any, Any]]
"""Arguments that were cut before, by name and number of the object: those that blocks share, such as rotary angles, and what
they were cut to."""


def call_at(call: Call, at: Int[Tensor, "B Q"], length: int, cut: Cut | None = None, **replaced: Any) -> Call:
    """The call of a block for the positions `at` of its T = `length` positions.

    Keywords in `replaced` that the call has are used as they are; `cut` keeps arguments for other blocks and the same positions.

    Raises:
        Unfit: an argument depends on the position in a way that is not known here.
    """
    if call.args:
        raise Unfit("its blocks take more than the hidden states by position")
    made = {name: value for name, value in replaced.items() if name in call.kwargs}
    for name, value in call.kwargs.items():
        if name in made:
            continue
        if name not in _BY_POSITION or value is None:
            made[name] = _plain(name, value, length)
            continue
        known = None if cut is None else cut.get((name, id(value)))
        made[name] = _BY_POSITION[name](value, at) if known is None else known[1]
        if cut is not None:
            cut[name, id(value)] = value, made[name]  # the object is kept, so that no other gets its number
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
    raise Unfit(f"its positions are a {type(value).__name__}")


_BY_POSITION: dict[str, Callable[[Any, Tensor], Any]] = {
    "position_embeddings": _rotary,
    "position_ids": lambda value, at: torch.take_along_dim(value, at.to(value.device), -1),
    "full_text_row_masked_out_mask": lambda value, at: torch.take_along_dim(
        value, at.to(value.device)[:, None, :, None], 2
    ),
    "cross_attention_mask": lambda value, at: torch.take_along_dim(value, at.to(value.device)[:, None, :, None], 2),
}
"""Arguments of blocks that are cut along the tokens. A family whose blocks take another such argument needs another entry."""
_WHOLE = ("cross_attention_states",)
