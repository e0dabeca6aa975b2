"""The answers that a model could give to an open question, each with the probability of exactly these words.

Candidates: the model's most probable first tokens, each continued greedily. Each candidate is then scored as a whole, its end of
turn included, so that the probabilities are those of different answers and sum to at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from headatlas.errors import HeadAtlasError
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.generate import greedy_config, only_settings
from headatlas.vlm.model import VLM
from headatlas.vlm.read import read, spell


@dataclass(frozen=True)
class Alternative:
    """An answer and its log-probability (nats, end of turn included)."""

    text: str
    logprob: float

    @property
    def p(self) -> float:
        """Probability of exactly this answer, 0..1."""
        return math.exp(self.logprob)


def answered(chat: Conversation, answer: str) -> Conversation:
    """An open conversation with an answer in its last turn."""
    return replace(chat, turns=(*chat.turns[:-1], replace(chat.turns[-1], answer=answer)))


def alternatives(vlm: VLM, chat: Conversation, n: int = 4, max_new_tokens: int = 16) -> list[Alternative]:
    """The answers that the model is most likely to give, under its active edits, the most probable first.

    Args:
        vlm: the model; its active edits must be the same for all rows.
        chat: a conversation whose last turn is open.
        n: first tokens that are tried; answers with equal words count once, so there may be fewer.
        max_new_tokens: largest number of tokens of an answer.

    Raises:
        HeadAtlasError: `n` below 1, or the picture or text cannot be read.
    """
    if n < 1:
        raise HeadAtlasError(f"n must be at least 1, got {n}")
    texts = dict.fromkeys(text for text in _continued(vlm, chat, n, max_new_tokens) if text)
    return sorted(probabilities(vlm, chat, list(texts)), key=lambda one: -one.logprob)


def probabilities(vlm: VLM, chat: Conversation, texts: Sequence[str]) -> list[Alternative]:
    """The given answers with their probabilities under the active edits; those that the model cannot read are left out."""
    if not texts:
        return []
    refused: dict[int, str] = {}
    readouts = read(vlm, [answered(chat, text) for text in texts], refused=refused)
    return [
        Alternative(text, row[-1].logprob)
        for i, (text, row) in enumerate(zip(texts, readouts, strict=True))
        if i not in refused
    ]


@torch.inference_mode()
def _continued(vlm: VLM, chat: Conversation, n: int, max_new_tokens: int) -> list[str]:
    """Greedy answers that begin with each of the n most probable first tokens."""
    n = min(n, len(vlm.tokenizer))
    batch = encode(vlm, [chat] * n, generation_prompt=True)
    inputs = batch.to(vlm.device, vlm.dtype)
    inputs.pop("position_ids", None)
    settings = greedy_config(vlm, max_new_tokens)
    fork: Any = LogitsProcessorList([_Fork(vlm)])
    with vlm.running(batch, [0] * n), only_settings(vlm.model, settings):
        generated = vlm.model.generate(**inputs, generation_config=settings, logits_processor=fork)
    return [spell(vlm, row) for row in generated.sequences[:, batch.ids.shape[1] :].tolist()]


class _Fork(LogitsProcessor):
    """At the first step row i takes the i-th most probable token that does not end the turn."""

    def __init__(self, vlm: VLM) -> None:
        self._ends, self._first = sorted(vlm.end_ids), True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` [B, V]; later steps are left as they are."""
        if not self._first:
            return scores
        self._first = False
        order = scores[0].clone()
        order[[end for end in self._ends if end < len(order)]] = -torch.inf
        best = order.topk(len(scores)).indices
        forced = torch.full_like(scores, -torch.inf)
        forced[torch.arange(len(scores), device=scores.device), best] = 0
        return forced
