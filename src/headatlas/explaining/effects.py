"""The exact effect of every single head on one answer: one bare pass, one resumed pass a head.

The effect is the fall of the answer's log-odds, log p - log(1 - p). Unlike log p it does not vanish where the model is sure: with
p = 0.9997 a head may take three quarters of the odds away and leave p = 0.999.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.engine import sweep
from headatlas.errors import HeadAtlasError
from headatlas.explaining.alternatives import answered
from headatlas.heads import Edit, Head, HeadSet, mean, zero
from headatlas.intervention.operations import Means
from headatlas.progress import Progress
from headatlas.vlm.chat import Conversation
from headatlas.vlm.generate import generate_answers
from headatlas.vlm.model import VLM

SURE = 3e-5
"""Where an answer's probability is closer to 1 than this, float32 cannot tell how close."""


def log_odds(logprobs: Float[np.ndarray, "*some A"]) -> Float[np.ndarray, "*some"]:
    """log p - log(1 - p) of the first of A answers, nats, from their log-probabilities.

    1 - p is what is left of p, or where p is within 3e-5 of 1 the sum of the other answers that were read.
    """
    logp = np.minimum(logprobs[..., 0], 0.0)
    left = -np.expm1(logp)
    others = np.exp(logprobs[..., 1:]).sum(-1)
    rest = np.where(left >= SURE, left, np.clip(others, 1e-30, SURE))
    return np.asarray(logp - np.log(rest))


@dataclass(frozen=True, eq=False)
class HeadEffects:
    """What A answers lose or gain when each of H heads is removed alone.

    Attributes:
        heads: the H heads.
        answers: the A answers; the first is the one that is explained.
        bare: log-probability of each answer, nats.
        without: the same without each head.
        changed: whether greedy decoding no longer gives the answer that the unedited model gives.
        says: what the model says instead, greedily; where nothing changed, what it said.
    """

    heads: HeadSet
    answers: tuple[str, ...]
    bare: Float[np.ndarray, " A"]
    without: Float[np.ndarray, "H A"]
    changed: Bool[np.ndarray, " H"]
    says: tuple[str, ...]

    @property
    def effect(self) -> Float[np.ndarray, " H"]:
        """Fall of the explained answer's log-odds, nats; below 0 where the answer gains. 0.7 nats halve the odds."""
        return log_odds(self.bare) - log_odds(self.without)

    def table(self) -> pd.DataFrame:
        """One row a head, largest effect first: head, effect (nats), p without it (0..1), what the model says, whether that is
        another answer."""
        order = np.argsort(-self.effect, kind="stable")
        return pd.DataFrame(
            {
                "head": [str(self.heads[int(i)]) for i in order],
                "effect": self.effect[order],
                "p": np.exp(self.without[order, 0]),
                "says": [self.says[i] for i in order],
                "changed": self.changed[order],
            }
        )


def removal(heads: HeadSet | Sequence[Head], means: Means | None = None) -> Edit:
    """The edit that removes heads: z set to 0, or to its mean where means are given."""
    return zero(heads) if means is None else mean(heads, means)


def head_effects(
    vlm: VLM,
    chat: Conversation,
    answers: Sequence[str],
    said: str,
    heads: HeadSet,
    means: Means | None = None,
    max_new_tokens: int = 16,
    progress: Progress | None = None,
) -> HeadEffects:
    """Remove each head alone, everywhere in the text, and read all answers (`engine.sweep`).

    Args:
        vlm: the model, without active edits.
        chat: a conversation whose last turn is open.
        answers: the answers to read; the first is the one that is explained.
        said: what the unedited model says, one of `answers`.
        heads: the heads to remove, one at a time.
        means: mean z `[L, H, D]` to put in their place; None: 0.
        max_new_tokens: tokens at most of what the model says where a head changes its answer.
        progress: called as `progress("heads", done, total)`.

    Raises:
        HeadAtlasError: no heads, or `said` is not among the answers.
    """
    if not heads or said not in answers:
        raise HeadAtlasError(f"heads must not be empty and said must be one of the answers, got {heads!r} and {said!r}")
    chats = [answered(chat, text) for text in answers]
    report = None if progress is None else _in_heads(progress, len(chats))
    found = sweep(vlm, chats, [[removal(HeadSet([head]), means)] for head in heads], progress=report)
    last = np.cumsum(found.turns) - 1
    at = last[list(answers).index(said)]
    changed = ~found.exact[:, at] if found.bare[1][at] else np.array([text != said for text in _text(found.text, at)])
    says = [said] * len(heads)
    which = np.flatnonzero(changed).tolist()
    if which:
        with vlm.edit(rows=[[removal(HeadSet([heads[i]]), means)] for i in which]):
            told = generate_answers(vlm, [chat] * len(which), max_new_tokens)
        for i, one in zip(which, told, strict=True):
            says[i] = one.text
    return HeadEffects(heads, tuple(answers), found.bare[0][last], found.logprob[:, last], changed, tuple(says))


def _text(texts: list[list[str]], at: int) -> list[str]:
    return [row[at] for row in texts]


def _in_heads(progress: Progress, answers: int) -> Progress:
    """Count heads instead of heads x answers."""
    return lambda what, done, total: progress("heads", done // answers, total // answers)
