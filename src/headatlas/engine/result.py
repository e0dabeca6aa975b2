"""`Sweep`, the result of a sweep, and `SweepTable`, which collects it batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float

from headatlas.engine.answers import Answers, Outcome
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM
from headatlas.vlm.read import Readout, has_ended, spell


@dataclass(frozen=True, eq=False)
class Sweep:
    """The model's answers under C conditions at the N answers of all conversations, conversation by conversation, turn by turn.

    Attributes:
        logprob: sum of the gold tokens' log-probabilities, end of turn included, nats.
        exact: every gold token is the argmax: greedy decoding gives exactly the gold answer.
        text: the argmax tokens up to an end of turn, see `vlm.Readout`.
        bare: the same for the unedited model: logprob [N], exact [N], text.
        turns: number of answers in each conversation; N in total.
        how: `branch`, `resume` (shared passes) or `rerun` (full passes).
        reason: why full passes were needed; empty otherwise.
        ended: whether the model ended its turn, see `vlm.Readout`; the last row is of the unedited model.
        valid: log of the mass on each answer's valid first tokens, nats; the last row is of the unedited model. None unless
            `valid` was given.
    """

    logprob: Float[np.ndarray, "C N"]
    exact: Bool[np.ndarray, "C N"]
    text: list[list[str]]
    bare: tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"], list[str]]
    turns: tuple[int, ...]
    how: str
    reason: str = ""
    ended: Bool[np.ndarray, "C1 N"] | None = None
    valid: Float[np.ndarray, "C1 N"] | None = None

    def __repr__(self) -> str:
        conditions, answers = self.logprob.shape
        how = f"{self.how} ({self.reason})" if self.reason else self.how
        return f"Sweep({conditions} conditions, {answers} answers of {len(self.turns)} conversations, {how})"

    def readouts(self, condition: int) -> list[list[Readout]]:
        """One condition's answers as `vlm.read` gives them."""
        flat = [
            Readout(text, bool(exact), float(logprob), ended)
            for text, exact, logprob, ended in zip(
                self.text[condition],
                self.exact[condition],
                self.logprob[condition],
                self.ended_in(condition),
                strict=True,
            )
        ]
        starts = np.concatenate([[0], np.cumsum(self.turns)]).tolist()
        return [flat[a:b] for a, b in pairwise(starts)]

    def ended_in(self, condition: int) -> list[bool]:
        """Whether each of the N answers ended its turn under a condition; -1 is the unedited model."""
        return [True] * self.logprob.shape[1] if self.ended is None else self.ended[condition].tolist()


class SweepTable:
    """Collects the results of all batches and conditions in one array."""

    def __init__(
        self, vlm: VLM, conversations: Sequence[Conversation], n_conditions: int, progress: Progress | None
    ) -> None:
        self.turns = tuple(len(chat.turns) for chat in conversations)
        self.starts = np.concatenate([[0], np.cumsum(self.turns)])
        n = int(self.starts[-1])
        self.logprob, self.exact = np.full((n_conditions + 1, n), np.nan), np.zeros((n_conditions + 1, n), bool)
        self.ended = np.ones((n_conditions + 1, n), bool)
        self.text = [[""] * n for _ in range(n_conditions + 1)]
        self._vlm, self._progress = vlm, progress
        self._spelled: dict[tuple[int, ...], str] = {}
        self._done, self._total = 0, n_conditions * len(conversations)

    def ask(self, valid: Sequence[frozenset[int]] | None) -> None:
        """Set the valid first tokens of all answers."""
        self.valid: np.ndarray | None = None
        if valid is None:
            return
        if len(valid) != self.logprob.shape[1]:
            raise HeadAtlasError(
                f"valid must have one set for each of {self.logprob.shape[1]} answers, got {len(valid)}"
            )
        self.valid = np.full_like(self.logprob, np.nan)
        kinds = {tokens: i for i, tokens in enumerate(dict.fromkeys(valid))}
        self._which = torch.tensor([kinds[tokens] for tokens in valid])
        width = self._vlm.model.get_output_embeddings().weight.shape[0]
        self._sets = torch.zeros(len(kinds), width, dtype=torch.bool)
        for tokens, i in kinds.items():
            self._sets[i, list(tokens)] = True

    def asked(self, answers: Answers, rows: list[int]) -> Answers:
        """The answers of a batch, with their valid first tokens if the mass on them is wanted."""
        if self.valid is None:
            return answers
        place = np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])
        return answers.with_valid(self._which[place], self._sets)

    def put(self, conditions: list[int] | None, rows: list[int], batch: Batch, outcome: Outcome) -> None:
        """Add the results of one batch under some conditions, or under none (the bare model); one result may be for several."""
        which = [len(self.text) - 1] if conditions is None else conditions
        if not which:
            return
        place = np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])
        where = np.array(which)[:, None], place[None]
        self.logprob[where] = outcome.logprob.numpy()
        self.exact[where] = outcome.exact.numpy()
        if self.valid is not None:
            assert outcome.valid is not None
            self.valid[where] = outcome.valid.numpy()
        lengths = [end - start for spans in batch.spans for start, end in spans]
        has_end = [one for ends in batch.ends for one in ends]
        cuts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        for g, c in enumerate(which):
            tokens = outcome.best[g if len(outcome.best) > 1 else 0].tolist()
            texts = self.text[c]
            for at, (a, b), may_end in zip(place.tolist(), pairwise(cuts), has_end, strict=True):
                texts[at] = self._spell(tuple(tokens[a:b]))
                self.ended[c, at] = not may_end or has_ended(self._vlm, tokens[a:b])
        if conditions is not None and self._progress is not None:
            self._done += len(rows) * len(which)
            self._progress("sweep", self._done, self._total)

    def sweep(self, how: str, reason: str = "") -> Sweep:
        """The results of all batches."""
        bare = (self.logprob[-1], self.exact[-1], self.text[-1])
        tables = self.logprob[:-1], self.exact[:-1], self.text[:-1]
        return Sweep(*tables, bare, self.turns, how, reason, ended=self.ended, valid=self.valid)

    def _spell(self, tokens: tuple[int, ...]) -> str:
        if tokens not in self._spelled:
            self._spelled[tokens] = spell(self._vlm, tokens)
        return self._spelled[tokens]
