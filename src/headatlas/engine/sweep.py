"""Sweeps: the exact answers to many conversations under many conditions, for a fraction of the passes.

Every batch of conversations is run bare once and recorded; each condition then computes only what it changes (`branch.py`,
`resume.py`). The results are those of `naive.step_by_step`, up to rounding. Models that cannot be resumed are run in full for
every condition; `Sweep.reason` and the log say why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from headatlas.engine.answers import Answers, Outcome, answers_of, logits_outcome, not_finite
from headatlas.engine.attention import AttentionPlan
from headatlas.engine.branch import branch
from headatlas.engine.edits import Edits, GroupPlan, compile_group, first_block
from headatlas.engine.naive import BRANCHED
from headatlas.engine.record import Recording, record
from headatlas.engine.rerun import rerun
from headatlas.engine.result import Sweep, SweepTable
from headatlas.engine.resume import resume
from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionEdit, uncompiled
from headatlas.heads.scope import check_scope
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.model import VLM
from headatlas.vlm.prefix import forget_positions
from headatlas.vlm.read import in_batches
from headatlas.vlm.stack import Stack, Unfit, stack_of, why_unfit

log = logging.getLogger("headatlas")

BRANCH_TOKENS = 192
"""Most branch positions in one row. With more, more branches share a copy of the prefix, but the tree mask grows."""

SLACK = {torch.float32: 2e-3, torch.float64: 1e-6}
"""Largest relative difference between a bare answer's log-probability in the resumed pass and in the full pass."""


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
        batch_size: conversations per batch.
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
    out = SweepTable(vlm, conversations, len(conditions), progress)
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
        why = why_unfit(error)
        if not why:
            raise
        log.warning("%s: %s; every condition is run in full", vlm.name, why)
        return rerun(vlm, conversations, conditions, scope, batch_size, why, progress, valid)
    return out.sweep("branch" if scope in BRANCHED else "resume")


@dataclass
class _Job:
    vlm: VLM
    stack: Stack
    conditions: list[Edits]
    starts: list[int | None]
    scope: Any
    checked: bool = field(default=False)

    @torch.inference_mode()
    def run(self, rows: list[int], batch: Batch, out: SweepTable) -> None:
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
            result = (
                branch(recording, there, plan, start, self.scope, attention)
                if branched
                else resume(recording, there, plan, start, where, attention)
            )
            finite = result.logprob.isfinite().all(1).tolist()
            if not all(finite):
                bad = some[finite.index(False)]
                if branched and len(some) > 1:
                    # a branch that is not finite spoils the others in its row: infinity times a masked 0 is NaN
                    alone = (compile_group(vlm.heads, [self.conditions[c]], rows) for c in some)
                    logprobs = (branch(recording, there, one, start, self.scope).logprob for one in alone)
                    bad = next(
                        (c for c, one in zip(some, logprobs, strict=True) if not bool(one.isfinite().all())), bad
                    )
                raise not_finite(vlm, f"a log-probability under the edit {_named(self.conditions[bad])}")
            out.put(some, rows, batch, result)
        out.put([c for c, s in enumerate(self.starts) if s is None], rows, batch, outcome)

    def _groups(self, order: list[int], width: int | None) -> list[tuple[int, list[int]]]:
        """Groups of conditions with the same first block, as many as fit in one row; one by one if each needs its own pass."""
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
        """Resume the bare pass at its first block and check that it gives the same answers."""
        nothing = GroupPlan({}, 1)
        if self.scope in BRANCHED:
            resumed = branch(recording, answers, nothing, 0, self.scope)
        else:
            resumed = resume(recording, answers, nothing, 0, None)
        off = (resumed.logprob - bare.logprob).abs() / bare.logprob.abs().clamp(min=1)
        slack = SLACK.get(self.vlm.dtype, 0.1)
        if not float(off.max()) <= slack:
            raise Unfit(f"its bare pass, resumed at the first block, ends {float(off.max()):.1g} nats off")


def _where_not_finite(recording: Recording, batch: Batch) -> str:
    """The first part of a bare pass that is not finite: z of a layer at a predicting position, or the logits."""
    where = batch.predict_mask()
    for layer, z in enumerate(recording.z):
        if not bool(z[where.to(z.device)].isfinite().all()):
            return f"z of block {layer}"
    return "a logit"


def _edits_attention(edits: Edits) -> bool:
    return any(isinstance(edit, AttentionEdit) for edit in edits)


def _named(edits: Edits) -> str:
    return "; ".join(f"{edit.name} of {' '.join(map(str, edit.heads))}" for edit in edits)[:200]
