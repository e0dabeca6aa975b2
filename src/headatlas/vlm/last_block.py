"""The last block, only where somebody looks.

Behind the heads of the last block nothing mixes positions any more. A pass whose logits are wanted at a dozen positions of two
hundred so needs that block's output projection and MLP at these alone: a tenth less work in a model of six blocks, a fortieth
less in one of 28. Its heads speak at all positions as ever, and whatever reads or edits them sees all of z.

Whether a model's last block can be called so is tried out on the first pass, beside the whole block. Knows blocks and positions;
knows no answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headatlas.heads.cache import CACHE_NAMES
from headatlas.vlm.along import call_at, places, take
from headatlas.vlm.stack import Block, Call, Stack, Unfit, replaced_forward, stack_of

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

log = logging.getLogger("headatlas")

SLACK = {torch.float32: 1e-4, torch.float64: 1e-9}
"""How far hidden states behind the block may be from those of the whole block, as a share of the largest; else 0.02."""

_TRIED: WeakKeyDictionary[Any, int | str] = WeakKeyDictionary()
"""Of each model: how many things the attention of its last block returns, or why that block is always run whole."""


@contextmanager
def last_block_at(vlm: VLM, where: Bool[Tensor, "B T"]) -> Iterator[None]:
    """Within, the last block gives hidden states at the positions `where` and zeros elsewhere, if it can and if that saves
    half of the positions or more."""
    stack = _stack(vlm)
    if stack is None or 2 * int(where.sum(1).max()) > where.shape[1] or _watched_by_others(stack.blocks[-1]):
        yield
        return
    module = stack.blocks[-1].module
    with replaced_forward(module, _Forward(vlm, stack, module.forward, where)):
        yield


def _stack(vlm: VLM) -> Stack | None:
    try:
        return None if isinstance(_TRIED.get(vlm), str) else stack_of(vlm)
    except Unfit:
        return None


@dataclass(frozen=True, eq=False)
class _Forward:
    """Stands for the last block's forward, `real`."""

    vlm: VLM
    stack: Stack
    real: Any
    where: Bool[Tensor, "B T"]

    @torch.no_grad()
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        block = self.stack.blocks[-1]
        with replaced_forward(block.module, self.real):
            n_outputs = _TRIED.get(self.vlm)
            if n_outputs is None:
                return self._try(block, args, kwargs)
            assert isinstance(n_outputs, int)
            hidden, call = block.told(args, kwargs)
            return self._behind(hidden, self.stack.up_to_z(self.stack.last, hidden, call), call, n_outputs)

    def _try(self, block: Block, args: Any, kwargs: Any) -> Any:
        """Run the block whole and in part, and remember whether that is the same."""
        try:
            with block.watched() as seen:
                whole = block.module(*args, **kwargs)
            if not (seen.whole and isinstance(whole, Tensor)):
                raise Unfit(f"its last block returns a {type(whole).__name__}")
            part = self._behind(seen.hidden, seen.z, seen.call, seen.n_outputs or 0)
            there = self.where.to(whole.device)
            off, size = float((part - whole)[there].abs().max()), float(whole[there].abs().max())
            if not off <= SLACK.get(whole.dtype, 0.02) * size:
                raise Unfit(f"its last block, run in part, ends {off:.1g} off")
        except (Unfit, TypeError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" in str(error).lower():
                raise
            _TRIED[self.vlm] = str(error)
            log.info("%s: the last block is run at all positions: %s", self.vlm.name, error)
            return block.module(*args, **kwargs)
        _TRIED[self.vlm] = seen.n_outputs or 0
        return part

    def _behind(
        self, hidden: Float[Tensor, "B T d"], z: Float[Tensor, "B T HD"], call: Call, n_outputs: int
    ) -> Float[Tensor, "B T d"]:
        at, real = places(self.where.to(hidden.device))
        told = call_at(call, at, hidden.shape[1], attention_mask=None, **dict.fromkeys(CACHE_NAMES))
        picked = self.stack.from_z(self.stack.last, take(hidden, at), take(z, at), told, n_outputs)
        out = picked.new_zeros(hidden.shape)
        return _put(out, at.to(out.device), picked * real.to(out.device)[..., None])


def _put(out: Float[Tensor, "B T d"], at: Int[Tensor, "B M"], values: Float[Tensor, "B M d"]) -> Float[Tensor, "B T d"]:
    return out.scatter_(1, at[..., None].expand_as(values), values)


def _watched_by_others(block: Block) -> bool:
    """Whether somebody else has hooks in the block, who would see fewer positions than there are."""
    for module in block.module.modules():
        hooks: list[Any] = [*module._forward_hooks.values()]
        if module is not block.site.module:
            hooks += module._forward_pre_hooks.values()
        if not all(_known(hook) for hook in hooks):
            return True
    return not all(_known(hook) for hook in block.site.module._forward_pre_hooks.values())


def _known(hook: Any) -> bool:
    """Hooks of this project (which see all of z), and those of transformers that collect hidden states when asked to."""
    return str(getattr(hook, "__module__", "")).partition(".")[0] in ("headatlas", "transformers")
