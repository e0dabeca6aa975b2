"""The exact effect of every single head on one answer: one bare pass, and one resumed pass for each head.

The effect is the fall of the answer's log-odds, log p - log(1 - p). Unlike the fall of log p it does not vanish where the model
is sure: if p is 0.9997, a head that carries three quarters of the odds leaves 0.999 when removed.
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
from headatlas.heads import Edit, HeadSet, mean, zero
from headatlas.heads.address import Heads, as_heads
from headatlas.intervention.operations import Means
from headatlas.printing import brief
from headatlas.progress import Progress
from headatlas.vlm.chat import Conversation
from headatlas.vlm.generate import generate_answers
from headatlas.vlm.model import VLM

SURE = 3e-5
"""If an answer's probability is closer to 1 than this, float32 is too coarse for 1 - p."""


def log_odds(logprobs: Float[np.ndarray, "*some A"]) -> Float[np.ndarray, "*some"]:
    """log p - log(1 - p) of the first of A answers, nats, from their log-probabilities.

    If p is within 3e-5 of 1, the sum of the other answers' probabilities takes the place of 1 - p.
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
        changed: whether greedy decoding no longer gives the answer of the unedited model.
        says: the model's greedy answer without each head.
    """

    heads: HeadSet
    answers: tuple[str, ...]
    bare: Float[np.ndarray, " A"]
    without: Float[np.ndarray, "H A"]
    changed: Bool[np.ndarray, " H"]
    says: tuple[str, ...]

    __repr__ = brief

    @property
    def effect(self) -> Float[np.ndarray, " H"]:
        """Fall of the explained answer's log-odds, nats; negative if the answer becomes more likely. A fall of 0.7 halves the
        odds."""
        return log_odds(self.bare) - log_odds(self.without)

    def table(self) -> pd.DataFrame:
        """One row per head, largest effect first: head, effect (nats), p without it (0..1), what the model says, whether that is
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


def removal(heads: Heads, means: Means | None = None) -> Edit:
    """The edit that removes heads: z set to 0, or to its mean where means are given."""
    return zero(heads) if means is None else mean(heads, means)


def head_effects(
    vlm: VLM,
    chat: Conversation,
    answers: Sequence[str],
    said: str,
    heads: Heads,
    means: Means | None = None,
    max_new_tokens: int = 16,
    progress: Progress | None = None,
) -> HeadEffects:
    """Remove each head alone, everywhere in the text, and read all answers (`engine.sweep`).

    Args:
        vlm: the model, without active edits.
        chat: a conversation whose last turn is open.
        answers: the answers to read; the first is the one that is explained.
        said: the answer of the unedited model, one of `answers`.
        heads: the heads to remove, one at a time.
        means: mean z `[L, H, D]` to put in their place; None: 0.
        max_new_tokens: most tokens of a changed answer.
        progress: called as `progress("heads", done, total)`.

    Raises:
        HeadAtlasError: no heads, or `said` is not among the answers.
    """
    heads = as_heads(heads)
    if not heads or said not in answers:
        raise HeadAtlasError(f"heads must not be empty and said must be one of the answers, got {heads!r} and {said!r}")
    chats = [answered(chat, text) for text in answers]
    report = None if progress is None else _in_heads(progress, len(chats))
    result = sweep(vlm, chats, [[removal(HeadSet([head]), means)] for head in heads], progress=report)
    last = np.cumsum(result.turns) - 1
    at = last[list(answers).index(said)]
    changed = (
        ~result.exact[:, at] if result.bare[1][at] else np.array([text != said for text in _text(result.text, at)])
    )
    says = [said] * len(heads)
    which = np.flatnonzero(changed).tolist()
    if which:
        with vlm.edit(rows=[[removal(HeadSet([heads[i]]), means)] for i in which]):
            answers_now = generate_answers(vlm, [chat] * len(which), max_new_tokens)
        for i, one in zip(which, answers_now, strict=True):
            says[i] = one.text
    return HeadEffects(heads, tuple(answers), result.bare[0][last], result.logprob[:, last], changed, tuple(says))


def _text(texts: list[list[str]], at: int) -> list[str]:
    return [row[at] for row in texts]


def _in_heads(progress: Progress, answers: int) -> Progress:
    """Count heads instead of heads x answers."""
    return lambda what, done, total: progress("heads", done // answers, total // answers)
