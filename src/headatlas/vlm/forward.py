"""One teacher-forced forward of a batch, with logits only at the positions where they are needed.

With a vocabulary of 150,000 words, logits at 2,000 positions of 32 rows would take 38 GB, but a question needs a dozen
positions. So the output embedding (`get_output_embeddings`) gets only the hidden states at those positions; whatever the
family does to logits afterwards still applies. If the model does not call it as a module, the full logits are computed and
cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.cache_utils import Cache

from headatlas.heads import AttentionReader, ZReader
from headatlas.heads.cache import cache_name

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.editable import EditableModel


@torch.inference_mode()
def logits_at(
    vlm: EditableModel,
    batch: Batch,
    mask: Bool[Tensor, "B T"],
    rows: Sequence[int],
    reader: ZReader | AttentionReader | None = None,
    cache: Cache | None = None,
) -> Float[Tensor, "n V"]:
    """Logits at some positions, row by row in order, float32, on the model's device.

    Args:
        vlm: the model; its active edits apply.
        batch: its inputs.
        mask: where logits are wanted.
        rows: the index of each batch row in the caller's list, for edits that differ from row to row.
        reader: reads z or attention at every layer, as edited.
        cache: an empty one, to keep keys and values in.
    """
    where = mask.to(vlm.device)
    gather = Gather(where)
    head: nn.Module | None = vlm.model.get_output_embeddings()
    # Opened first, because what is decided batch by batch may run the model, whose output embedding must not be cut then.
    with vlm.running(batch, rows), reader or nullcontext():
        handle = head.register_forward_pre_hook(gather) if head is not None else None
        try:
            inputs = batch.to(vlm.device, vlm.dtype)
            kept = {"use_cache": False} if cache is None else {"use_cache": True, cache_name(vlm.model.forward): cache}
            logits = vlm.model(**inputs, **kept).logits
        finally:
            if handle is not None:
                handle.remove()
    return gather.pick(logits)


class Gather:
    """Pre-hook of an output embedding that gives it only the hidden states at `where` `[B, T]`, as `[1, n, d]`.

    `done` is False if it could not: a model that calls its output embedding in another way returns its full logits.
    """

    def __init__(self, where: Bool[Tensor, "B T"]) -> None:
        self.where = where
        self.done = False

    def pick(self, logits: Tensor) -> Float[Tensor, "n V"]:
        """The wanted rows of the model's logits, float32."""
        return (logits[0] if self.done else logits[self.where.to(logits.device)]).float()

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The hook."""
        hidden = args[0] if args else None
        if not isinstance(hidden, Tensor) or hidden.shape[:2] != self.where.shape or self.done:
            return None
        self.done = True
        return (hidden[self.where.to(hidden.device)][None], *args[1:])
