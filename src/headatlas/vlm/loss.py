"""Differentiable log-probabilities of gold answers, with which methods are fitted.

The model's own parameters are frozen; gradients reach the tensors that are put into its forward (gains of heads, adapters,
additions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.vlm.chat import Conversation
from headatlas.vlm.forward import Gather
from headatlas.vlm.read import Refused, in_batches

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.model import VLM


@dataclass(frozen=True, eq=False)
class AnswerLogits:
    """Logits at the positions that predict answers, and the gold tokens there.

    Attributes:
        logits: float32, row by row, turn by turn.
        gold: the answers' token ids, end of turn included.
        turn: for each position the number of its turn, counted through all rows of the batch from 0.
    """

    logits: Float[Tensor, "n V"]
    gold: Int[Tensor, " n"]
    turn: Int[Tensor, " n"]

    @property
    def n_turns(self) -> int:
        """Turns of all rows together."""
        return int(self.turn.max()) + 1 if len(self.turn) else 0

    def nll(self) -> Float[Tensor, " turns"]:
        """Minus the log-probability (nats) of each turn's gold answer, summed over its tokens."""
        each = F.cross_entropy(self.logits, self.gold, reduction="none")
        return each.new_zeros(self.n_turns).index_add(0, self.turn, each)

    def kl(self, original: Float[Tensor, "n V"]) -> Float[Tensor, " turns"]:
        """KL divergence (nats) of these predictions from `original` logits at the same positions, summed over each turn."""
        log_p, log_q = self.logits.log_softmax(-1), original.log_softmax(-1)
        each = (log_p.exp() * (log_p - log_q)).sum(-1)
        return each.new_zeros(self.n_turns).index_add(0, self.turn, each)


def answer_logits(vlm: VLM, batch: Batch, rows: Sequence[int] | None = None) -> AnswerLogits:
    """One forward of a batch under the active edits, differentiable; logits only where answers are predicted.

    Args:
        vlm: the model.
        batch: encoded conversations with an answer in every turn.
        rows: the index of each row in the caller's list, for edits that differ from row to row; by default 0, 1...
    """
    mask = batch.predict_mask()
    gather = Gather(mask.to(vlm.device))
    head = vlm.model.get_output_embeddings()
    with vlm.running(batch, range(len(batch.starts)) if rows is None else rows):
        handle = head.register_forward_pre_hook(gather) if head is not None else None
        try:
            logits = gather.pick(vlm.model(**batch.to(vlm.device, vlm.dtype), use_cache=False).logits)
        finally:
            if handle is not None:
                handle.remove()
    spans = [(row, start, end) for row, turns in enumerate(batch.spans) for start, end in turns]
    gold = torch.cat([batch.ids[row, start:end] for row, start, end in spans]).to(logits.device)
    turn = torch.cat([torch.full((end - start,), i) for i, (_, start, end) in enumerate(spans)]).to(logits.device)
    return AnswerLogits(logits, gold, turn)


def batched(
    vlm: VLM, conversations: Sequence[Conversation], batch_size: int, refused: Refused | None = None
) -> list[tuple[list[int], Batch]]:
    """Conversations as batches of similar length, to be run many times: (indices of the conversations, batch).

    Args:
        vlm: the model.
        conversations: with an answer in every turn.
        batch_size: conversations per batch.
        refused: if given, conversations that the processor refuses are left out and added here.
    """
    made: list[tuple[list[int], Batch]] = []
    in_batches(vlm, conversations, batch_size, lambda rows, batch: made.append((rows, batch)), refused=refused)
    return made
