"""A recording of one bare forward of a batch: the inputs of every block, z, keys and values, and the output.

Conditions take from it what they share with the bare model instead of computing it again. Memory: two tensors `[B, T, d]` for
each block, and keys and values if they are needed.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from headatlas.heads.cache import cache_name
from headatlas.vlm.forward import Gather
from headatlas.vlm.stack import Call, Stack, Unfit

Where = Bool[Tensor, "_B _T"]


@dataclass(eq=False)
class Recording:
    """A bare forward of one batch.

    Attributes:
        hidden: the input of each block, `[B, T, d]`.
        z: the input of each block's output projection, `[B, T, H*D]`.
        calls: the other arguments of each block.
        outputs: how many values each block's attention returns; 0: a tensor alone.
        cache: keys and values of each block, `[B, Hkv, T, D]`, or None.
        final: the output of the last block.
        norm: the module between the last block and the output embedding, if there is one.
        cap: the soft cap on the logits, if there is one.
        logits: at the positions asked for, row by row, float32.
    """

    stack: Stack
    hidden: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    cache: DynamicCache | None = None
    final: Tensor | None = None
    norm: nn.Module | None = None
    cap: float | None = None
    logits: Tensor | None = None

    def tail(self, hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n V"]:
        """Logits, float32, from the output of the last block."""
        normed = hidden if self.norm is None else self.norm(hidden)
        logits = self.stack.head(normed)
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        return logits.float()


def record(model: Any, stack: Stack, inputs: dict[str, Any], where: Where, cached: bool) -> Recording:
    """Run the bare model once and record it.

    Args:
        model: the whole VLM.
        stack: its blocks.
        inputs: on its device, as for `model(**inputs)`.
        where: positions whose logits are recorded, bool [B, T].
        cached: whether keys and values are recorded, too.

    Raises:
        Unfit: the model calls its blocks in a way that cannot be resumed.
    """
    recording = Recording(stack, cache=DynamicCache() if cached else None)
    candidates: list[tuple[nn.Module, Tensor]] = []
    gather = Gather(where)
    with ExitStack() as hooks:
        seen = [hooks.enter_context(block.watched()) for block in stack.blocks]
        for sibling in stack.siblings:
            hooks.callback(
                sibling.register_forward_pre_hook(
                    lambda m, args: candidates.append((m, args[0])) if args else None
                ).remove
            )
        hooks.callback(stack.head.register_forward_pre_hook(gather).remove)
        options = {cache_name(model.forward): recording.cache, "use_cache": True} if cached else {"use_cache": False}
        logits = model(**inputs, **options).logits
    for block in seen:
        block.check()
    recording.hidden, recording.z = [block.hidden for block in seen], [block.z for block in seen]
    recording.calls, recording.outputs = [block.call for block in seen], [block.n_outputs or 0 for block in seen]
    recording.final = seen[-1].out
    recording.logits = gather.pick(logits)
    recording.norm = next((m for m, given in candidates if given is recording.final), None)
    _check_tail(recording, model, where)
    if recording.cache is not None and not all(
        getattr(layer, "is_initialized", False) for layer in recording.cache.layers[: len(seen)]
    ):
        raise Unfit("its blocks do not keep their keys and values in the cache")
    return recording


def _check_tail(recording: Recording, model: Any, where: Where) -> None:
    """Find the modules after the blocks, and check that they give the model's own logits."""
    assert recording.final is not None
    assert recording.logits is not None
    hidden = recording.final[where.to(recording.final.device)][:8]
    wanted = recording.logits[:8]
    text = model.config.get_text_config(decoder=True)
    for cap in (None, getattr(text, "final_logit_softcapping", None)):
        recording.cap = cap
        own = recording.tail(hidden).to(wanted)
        slack = 1e-3 if recording.final.dtype == torch.float32 else 5e-2
        if float((own - wanted).abs().max()) <= slack * max(1.0, float(wanted.abs().max())):
            return
    raise Unfit("its logits are not computed from its last block by a norm and an output embedding alone")
