"""The direct effect of one head on the logits: the tokens that its output raises and lowers.

A head adds W_O[:, h] z to the residual stream. That vector is subtracted from the last block's output at the position that
predicts the answer, and the logits are computed again with the model's final norm and output embedding. A token's write is its
logit with the head's output minus its logit without it, less the mean over the tokens that are likely there (with or without the
head). Effects through later layers are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headatlas.engine.record import record
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, Heads, as_head
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM
from headatlas.vlm.stack import Unfit, stack_of

LIKELY = 100
"""Number of tokens compared: the most probable ones with the head, and the most probable ones without it."""


@dataclass(frozen=True)
class Writes:
    """The tokens that a head raises and lowers directly, each with its change of logit (nats, relative to the mean of the likely
    tokens); the largest change first."""

    head: Head
    raised: tuple[tuple[str, float], ...]
    lowered: tuple[tuple[str, float], ...]

    def __repr__(self) -> str:
        kinds = (("raises", self.raised), ("lowers", self.lowered))
        lines = [
            f"  {kind} " + ", ".join(f"{token!r} {change:+.2f}" for token, change in some[:8]) for kind, some in kinds
        ]
        return "\n".join([f"Writes of {self.head}, nats:", *lines])


@torch.inference_mode()
def head_writes(vlm: VLM, chat: Conversation, head: Heads, n: int = 8) -> Writes:
    """The tokens that one head of the language model raises and lowers directly at the position that predicts the answer.

    Args:
        vlm: the model, without active edits.
        chat: a conversation whose last turn is open.
        head: a head of tower L or X.
        n: tokens of each kind.

    Raises:
        HeadAtlasError: another tower, active edits, or a model whose blocks or output cannot be cut there.
    """
    asked = as_head(head)
    if asked.tower not in ("L", "X"):
        raise HeadAtlasError(f"head must be of the language model (L) or its cross-attention (X), got {asked}")
    if vlm.edited:
        raise HeadAtlasError("head_writes reads the model itself: call it outside vlm.edit(...)")
    site = vlm.heads.site(asked)
    batch = encode(vlm, [chat], generation_prompt=True)
    where = batch.positions.mask("last")
    try:
        stack = stack_of(vlm)
        recording = record(vlm.model, stack, batch.to(vlm.device, vlm.dtype), where, False)
        block = stack.index[site]
    except Unfit as error:
        raise HeadAtlasError(
            f"the direct effect of a head of {vlm.family} on logits cannot be computed: {error}"
        ) from error
    assert recording.final is not None
    final = recording.final[where.to(recording.final.device)][-1:]
    z = recording.z[block]
    z = z[where.to(z.device)][-1:]
    written = _written(site.module, z, asked.head, site.d_head).to(final)
    with_head, without = recording.tail(final)[0], recording.tail(final - written)[0]
    most = min(LIKELY, len(with_head))
    likely = torch.cat([with_head.topk(most).indices, without.topk(most).indices]).unique()
    change = (with_head - without)[likely]
    change = change - change.mean()
    high, low = change.topk(min(n, len(change))), (-change).topk(min(n, len(change)))

    def named(indices: Tensor, values: Tensor) -> tuple[tuple[str, float], ...]:
        words = [vlm.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in indices.tolist()]
        return tuple(zip(words, values.tolist(), strict=True))

    return Writes(asked, named(likely[high.indices], high.values), named(likely[low.indices], -low.values))


def _written(projection: nn.Module, z: Float[Tensor, "1 HD"], head: int, d_head: int) -> Float[Tensor, "1 d"]:
    """One head's part of the output projection's output: that for its z alone less that for zero."""
    alone = torch.zeros_like(z)
    part = slice(head * d_head, (head + 1) * d_head)
    alone[:, part] = z[:, part]
    return projection.forward(alone) - projection.forward(torch.zeros_like(z))
