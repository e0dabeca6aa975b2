"""The positions of a batch that predict answers, and the model's predictions there.

The positions form one rectangle `[B, M]`, row by row, in order; shorter rows are filled with their last position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.vlm.batch import Batch
from headatlas.vlm.model import VLM

LOGITS_AT_ONCE = 1 << 26
"""Logits in memory at a time (256 MB in float32)."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The predicting positions of a batch of B rows, at most M in a row; `n` answers in total, row by row.

    Attributes:
        at: position in the sequence, [B, M].
        real: False where a row is filled up, [B, M].
        answer: number of the answer, 0..n-1, [B, M].
        start: position of the answer's first predicting position (its last prompt token), [B, M].
        gold: the token to be predicted, [B, M].
        n: number of answers.
        valid: at each answer's first position the row of `sets` whose mass is wanted, elsewhere -1, [B, M]; None if none is.
        sets: sets of tokens over the vocabulary, [S, V].
    """

    at: Int[Tensor, "B M"]
    real: Bool[Tensor, "B M"]
    answer: Int[Tensor, "B M"]
    start: Int[Tensor, "B M"]
    gold: Int[Tensor, "B M"]
    n: int
    valid: Int[Tensor, "B M"] | None = None
    sets: Bool[Tensor, "S V"] | None = None

    def to(self, device: torch.device) -> Answers:
        """The same positions on another device."""
        at, real, answer, start, gold = (p.to(device) for p in (self.at, self.real, self.answer, self.start, self.gold))
        valid, sets = (None if p is None else p.to(device) for p in (self.valid, self.sets))
        return Answers(at, real, answer, start, gold, self.n, valid, sets)

    def only(self, chosen: Bool[Tensor, " n"]) -> Answers | None:
        """The positions of some of the answers, which keep their numbers; None if there are none."""
        keep = self.real & chosen.to(self.real.device)[self.answer]
        width = int(keep.sum(1).max())
        if not width:
            return None
        # Kept positions first, in order; the rest of a row is filled up.
        order = keep.int().argsort(dim=1, descending=True, stable=True)[:, :width]
        parts = (part.gather(1, order) for part in (self.at, keep, self.answer, self.start, self.gold))
        at, real, answer, start, gold = parts
        return Answers(at, real, answer, start, gold, self.n)

    def with_valid(self, which: Int[Tensor, " n"], sets: Bool[Tensor, "S V"]) -> Answers:
        """The same, with the set of valid first tokens of each answer."""
        first = self.real & (self.at == self.start)
        return replace(self, valid=torch.where(first, which[self.answer], -1), sets=sets)


def answers_of(batch: Batch) -> Answers:
    """The predicting positions of every answer of `batch`."""
    rows: list[list[tuple[int, int, int, int]]] = []
    n = 0
    ids = batch.ids.tolist()
    for row, spans in enumerate(batch.spans):
        rows.append([])
        for start, end in spans:
            rows[-1] += [(p, n, start - 1, ids[row][p + 1]) for p in range(start - 1, end - 1)]
            n += 1
    width = max(map(len, rows))
    real = torch.tensor([[m < len(row) for m in range(width)] for row in rows])
    filled = torch.tensor([row + [row[-1]] * (width - len(row)) for row in rows])  # [B, M, 4]
    at, answer, start, gold = filled.unbind(-1)
    return Answers(at.contiguous(), real, answer.contiguous(), start.contiguous(), gold.contiguous(), n)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The model's predictions under G conditions at the n answers of a batch.

    Attributes:
        logprob: sum of the gold tokens' log-probabilities, nats.
        exact: every gold token is the argmax.
        best: argmax at the K real positions, row by row.
        valid: log of the mass on the valid first tokens, nats, where it was asked for.
    """

    logprob: Float[Tensor, "G n"]
    exact: Bool[Tensor, "G n"]
    best: Int[Tensor, "G K"]
    valid: Float[Tensor, "G n"] | None = None


def outcome_of(tail: Callable[[Tensor], Tensor], hidden: Float[Tensor, "B G M d"], answers: Answers) -> Outcome:
    """The predictions under G conditions, from the output of the last block at the predicting positions."""
    groups = hidden.shape[1]
    real = answers.real.to(hidden.device)
    flat = hidden.transpose(0, 1)[:, real]  # [G, K, d]
    gold = answers.gold.to(hidden.device)[real]
    which = None if answers.valid is None else answers.valid.to(hidden.device)[real].repeat(groups)
    best, right, mass = [], [], []
    many = flat.reshape(-1, flat.shape[-1])
    wanted = gold.repeat(groups)
    width = None
    start = 0
    while start < len(many):
        size = 64 if width is None else max(1, LOGITS_AT_ONCE // width)
        logits = tail(many[start : start + size])
        width = logits.shape[-1]
        right.append(gold_logprob(logits, wanted[start : start + size].to(logits.device)))
        best.append(logits.argmax(1))
        if which is not None:
            mass.append(valid_logprob(logits, which[start : start + size].to(logits.device), answers))
        start += size
    valid = torch.cat(mass).reshape(groups, -1) if mass else None
    return collect(torch.cat(best).reshape(groups, -1), torch.cat(right).reshape(groups, -1), answers, valid)


def gold_logprob(logits: Float[Tensor, "n V"], gold: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Log-probability of one token a row, nats."""
    return logits.gather(1, gold[:, None])[:, 0] - logits.logsumexp(1)


def valid_logprob(logits: Float[Tensor, "n V"], which: Int[Tensor, " n"], answers: Answers) -> Float[Tensor, " n"]:
    """Log of the mass on the tokens of each position's set, nats; 0 where it has none."""
    out = logits.new_zeros(len(logits))
    rows = which >= 0
    if bool(rows.any()):
        assert answers.sets is not None
        sets = answers.sets.to(logits.device)[which[rows]]
        some = logits[rows]
        out[rows] = some.masked_fill(~sets, -torch.inf).logsumexp(1) - some.logsumexp(1)
    return out


def collect(
    best: Int[Tensor, "G K"],
    logprob: Float[Tensor, "G K"],
    answers: Answers,
    valid: Float[Tensor, "G K"] | None = None,
) -> Outcome:
    """Sum the positions of each answer; the result is on the CPU."""
    best, logprob = best.cpu(), logprob.double().cpu()
    real = answers.real.cpu()
    answer, gold = answers.answer.cpu()[real], answers.gold.cpu()[real]
    sums = torch.zeros(len(best), answers.n, dtype=torch.double).index_add_(1, answer, logprob)
    wrong = torch.zeros(len(best), answers.n, dtype=torch.long).index_add_(1, answer, (best != gold).long())
    if valid is not None:
        valid = torch.zeros_like(sums).index_add_(1, answer, valid.double().cpu())
    return Outcome(sums, wrong == 0, best, valid)


def logits_outcome(logits: Float[Tensor, "K V"], answers: Answers) -> Outcome:
    """The predictions at the answers of a batch, from logits at the real positions, row by row."""
    gold = answers.gold[answers.real].to(logits.device)
    valid = None
    if answers.valid is not None:
        valid = valid_logprob(logits, answers.valid[answers.real].to(logits.device), answers)[None]
    return collect(logits.argmax(1)[None], gold_logprob(logits, gold)[None], answers, valid)


def not_finite(vlm: VLM, what: str) -> HeadAtlasError:
    """The error for `what`, such as "z of layer 3", being NaN or infinite."""
    return HeadAtlasError(
        f"{vlm.name} in {str(vlm.dtype).removeprefix('torch.')}: {what} is not finite (NaN or infinite); load the model with "
        'dtype="bfloat16" or "float32"'
    )
