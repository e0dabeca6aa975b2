"""Many conditions on many conversations: the exact answers under each, at a fraction of the passes.

Every batch of conversations is run bare once and recorded; each condition then computes only what it changes (`branch.py`,
`resume.py`). The results are those of `naive.step_by_step`, up to rounding. Models that cannot be resumed are run in full for
every condition; `Sweep.reason` and the log say why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas.engine.answers import Answers, Outcome, answers_of, collect, gold_logprob, not_finite, valid_logprob
from headatlas.engine.attention import AttentionPlan
from headatlas.engine.branch import branch
from headatlas.engine.edits import Edits, GroupPlan, compile_group, first_block
from headatlas.engine.naive import BRANCHED, step_by_step
from headatlas.engine.record import Recording, record
from headatlas.engine.resume import resume
from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionEdit, uncompiled
from headatlas.heads.scope import check_scope
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.prefix import forget_positions
from headatlas.vlm.read import Readout, has_ended, in_batches, read, spell
from headatlas.vlm.stack import Stack, Unfit, stack_of

log = logging.getLogger("headatlas")

BRANCH_TOKENS = 192
"""Branch positions in one row: more of them share a copy of the prefix, fewer need a smaller tree mask."""

SLACK = {torch.float32: 2e-3, torch.float64: 1e-6}
"""Largest difference, relative, between a bare answer's log-probability in the resumed pass and in the full pass."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What the model says under C conditions at the N answers of all conversations, conversation by conversation, turn by turn.

    Attributes:
        logprob: sum of the gold tokens' log-probabilities, end of turn included, nats.
        exact: every gold token is the argmax: greedy decoding gives exactly the gold answer.
        text: the argmax tokens up to an end of turn, see `vlm.Readout`.
        bare: the same of the unedited model: logprob [N], exact [N], text.
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


def sweep(
    vlm: VLM,
    conversations: Sequence[Conversation],
    conditions: Sequence[Edits],
    scope: str = "all",
    batch_size: int = 32,
    progress: Progress | None = None,
    valid: Sequence[frozenset[int]] | None = None,
) -> Sweep:
    """Read every answer of every conversation under each condition.

    Args:
        vlm: the model, without active edits.
        conversations: with an answer in every turn.
        conditions: each a list of edits, which act in order; an empty one is the bare model.
        scope: where they act, one of `heads.SCOPES`. In `answer` and `last` an edit acts on the answer that is read
            and is not seen by later steps.
        batch_size: conversations a batch.
        progress: called as `progress("sweep", done, total)`, in conversations x conditions.
        valid: for each of the N answers the tokens with which a valid answer begins; their mass is then in `Sweep.valid`.

    Raises:
        HeadAtlasError: active edits, an open turn, `valid` of another length, edits that do not fit the model, or
            log-probabilities that are not finite.
    """
    checked = check_scope(scope)
    if vlm.edited:
        raise HeadAtlasError("a sweep edits the model itself: call it outside vlm.edit(...)")
    if not conversations:
        raise HeadAtlasError("a sweep needs at least one conversation, got none")
    out = _Table(vlm, conversations, len(conditions), progress)
    out.ask(valid)
    try:
        stack = stack_of(vlm)
        starts = [first_block(edits, vlm.heads, stack.index) for edits in conditions]
        if any(start is not None and start < 0 for start in starts):
            raise Unfit("a condition edits heads outside the language model")
        job = _Job(vlm, stack, [list(edits) for edits in conditions], list(starts), checked)
        with uncompiled(vlm.model):
            in_batches(vlm, conversations, batch_size, lambda rows, batch: job.run(rows, batch, out))
    except (Unfit, RuntimeError) as error:
        why = _why(error)
        if not why:
            raise
        log.warning("%s: %s; every condition is run in full", vlm.name, why)
        return _rerun(vlm, conversations, conditions, scope, batch_size, why, progress, valid)
    return out.sweep("branch" if scope in BRANCHED else "resume")


def _why(error: Unfit | RuntimeError) -> str:
    """Why the engine cannot run this model, empty if the error is of another kind."""
    if isinstance(error, Unfit):
        return str(error)
    return "its blocks, on several devices, cannot be called alone" if "on the same device" in str(error) else ""


@dataclass
class _Job:
    vlm: VLM
    stack: Stack
    conditions: list[Edits]
    starts: list[int | None]
    scope: Any
    checked: bool = field(default=False)

    @torch.inference_mode()
    def run(self, rows: list[int], batch: Batch, out: _Table) -> None:
        vlm = self.vlm
        branched = self.scope in BRANCHED
        forget_positions(vlm.model)
        recording = record(vlm.model, self.stack, batch.to(vlm.device, vlm.dtype), batch.predict_mask(), branched)
        answers = out.asked(answers_of(batch), rows)
        assert recording.logits is not None
        outcome = logits_outcome(recording.logits, answers)
        if not bool(outcome.logprob.isfinite().all()):
            raise not_finite(vlm, _where_not_finite(recording, batch))
        there = answers.to(vlm.device)
        if not self.checked:
            self._check(recording, there, outcome)
            self.checked = True
        out.put(None, rows, batch, outcome)
        order = sorted((c for c, s in enumerate(self.starts) if s is not None), key=lambda c: (self.starts[c], c))
        where = None if branched or self.scope == "all" else batch.positions.mask(self.scope).to(vlm.device)
        for start, some in self._groups(order, answers.at.shape[1] if branched else None):
            plan = compile_group(vlm.heads, [self.conditions[c] for c in some], rows)
            attention = None
            if _edits_attention(self.conditions[some[0]]):
                attention = AttentionPlan(vlm, self.conditions[some[0]], batch, rows, self.scope)
            found = (
                branch(recording, there, plan, start, self.scope, attention)
                if branched
                else resume(recording, there, plan, start, where, attention)
            )
            finite = found.logprob.isfinite().all(1).tolist()
            if not all(finite):
                bad = some[finite.index(False)]
                if branched and len(some) > 1:  # branches in one row spoil each other: infinity times a masked 0 is NaN
                    alone = (compile_group(vlm.heads, [self.conditions[c]], rows) for c in some)
                    said = (branch(recording, there, one, start, self.scope).logprob for one in alone)
                    bad = next((c for c, one in zip(some, said, strict=True) if not bool(one.isfinite().all())), bad)
                raise not_finite(vlm, f"a log-probability under the edit {_named(self.conditions[bad])}")
            out.put(some, rows, batch, found)
        out.put([c for c, s in enumerate(self.starts) if s is None], rows, batch, outcome)

    def _groups(self, order: list[int], width: int | None) -> list[tuple[int, list[int]]]:
        """Conditions with the same first block, as many together as fit; one by one if each needs a pass of its own."""
        size = 1 if width is None else max(1, BRANCH_TOKENS // width)
        groups: list[tuple[int, list[int]]] = []
        for c in order:
            start = self.starts[c]
            assert start is not None
            alone = _edits_attention(self.conditions[c]) or (
                groups and _edits_attention(self.conditions[groups[-1][1][0]])
            )
            if groups and groups[-1][0] == start and len(groups[-1][1]) < size and not alone:
                groups[-1][1].append(c)
            else:
                groups.append((start, [c]))
        return groups

    def _check(self, recording: Recording, answers: Answers, bare: Outcome) -> None:
        """Resume the bare pass at its first block and check that it ends with the same answers."""
        nothing = GroupPlan({}, 1)
        if self.scope in BRANCHED:
            found = branch(recording, answers, nothing, 0, self.scope)
        else:
            found = resume(recording, answers, nothing, 0, None)
        off = (found.logprob - bare.logprob).abs() / bare.logprob.abs().clamp(min=1)
        slack = SLACK.get(self.vlm.dtype, 0.1)
        if not float(off.max()) <= slack:
            raise Unfit(f"its bare pass, resumed at the first block, ends {float(off.max()):.1g} nats off")


def logits_outcome(logits: Float[Tensor, "K V"], answers: Answers) -> Outcome:
    """What a model says at the answers of a batch, from its logits at the real positions, row by row."""
    gold = answers.gold[answers.real].to(logits.device)
    valid = None
    if answers.valid is not None:
        valid = valid_logprob(logits, answers.valid[answers.real].to(logits.device), answers)[None]
    return collect(logits.argmax(1)[None], gold_logprob(logits, gold)[None], answers, valid)


def _where_not_finite(recording: Recording, batch: Batch) -> str:
    """What is not finite in a bare pass: z of the first such layer at a predicting position, else the logits."""
    where = batch.predict_mask()
    for layer, z in enumerate(recording.z):
        if not bool(z[where.to(z.device)].isfinite().all()):
            return f"z of block {layer}"
    return "a logit"


def _edits_attention(edits: Edits) -> bool:
    return any(isinstance(edit, AttentionEdit) for edit in edits)


def _named(edits: Edits) -> str:
    return "; ".join(f"{edit.name} of {' '.join(map(str, edit.heads))}" for edit in edits)[:200]


class _Table:
    """Collects the results of batches and conditions in one array for all."""

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
        """Note the valid first tokens of all answers."""
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
        """Add the results of one batch under some conditions, or under none (the bare model); one result may be of several."""
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


def _rerun(
    vlm: VLM,
    conversations: Sequence[Conversation],
    conditions: Sequence[Edits],
    scope: str,
    batch_size: int,
    reason: str,
    progress: Progress | None,
    valid: Sequence[frozenset[int]] | None,
) -> Sweep:
    """Every condition by full passes: one over each conversation, or one over each step in the scopes `answer` and `last`."""
    if scope in BRANCHED:
        if valid is not None:
            raise HeadAtlasError(f"valid cannot be read in scope {scope!r} of {vlm.name}: {reason}; use another scope")
        return _steps(vlm, conversations, conditions, scope, batch_size, reason, progress)
    out = _Table(vlm, conversations, len(conditions), progress)
    out.ask(valid)

    def work(rows: list[int], batch: Batch) -> None:
        answers = out.asked(answers_of(batch), rows)
        for c, edits in enumerate([*conditions, []]):
            by_row = any(edit.rows is not None for edit in edits)
            each = [[edit.at_row(row) for edit in edits] for row in range(len(conversations))] if by_row else None
            with vlm.edit(*([] if by_row else edits), scope=scope, rows=each) if edits else nullcontext():
                logits = logits_at(vlm, batch, batch.predict_mask(), rows)
            require_finite(vlm, logits, batch, rows)
            out.put(None if c == len(conditions) else [c], rows, batch, logits_outcome(logits, answers))

    in_batches(vlm, conversations, batch_size, work)
    return out.sweep("rerun", reason)


def _steps(
    vlm: VLM,
    conversations: Sequence[Conversation],
    conditions: Sequence[Edits],
    scope: str,
    batch_size: int,
    reason: str,
    progress: Progress | None,
) -> Sweep:
    """Every condition by full passes over each step."""
    tables = []
    for done, edits in enumerate([*conditions, []], 1):
        if not edits:
            tables.append(read(vlm, conversations, batch_size))
        else:
            tables.append(step_by_step(vlm, conversations, edits, scope, batch_size))
        if progress is not None and done <= len(conditions):
            progress("sweep", done * len(conversations), len(conditions) * len(conversations))
    flat = [[readout for row in table for readout in row] for table in tables]
    logprob = np.array([[r.logprob for r in row] for row in flat])
    exact = np.array([[r.exact for r in row] for row in flat])
    text = [[r.text for r in row] for row in flat]
    ended = np.array([[r.ended for r in row] for row in flat], bool)
    turns = tuple(len(chat.turns) for chat in conversations)
    bare = (logprob[-1], exact[-1], text[-1])
    return Sweep(logprob[:-1], exact[:-1], text[:-1], bare, turns, "rerun", reason, ended)
