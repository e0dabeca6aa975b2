"""One bare pass of a batch, off which those answers branch that are edited, each with edits of its own.

For edits that depend on the bare model's prediction of the same answer: the pass that tells what to edit is also the one that the
edited answers branch off (`branch.py`), all in one branch, whatever edits each has. An edited answer is not seen by the steps
after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.engine.answers import Answers, answers_of
from headatlas.engine.attention import AttentionPlan
from headatlas.engine.branch import branch_hidden
from headatlas.engine.edits import ChosenPlan, Edits, GroupPlan, compile_group, first_block
from headatlas.engine.record import Recording, record
from headatlas.vlm.batch import Batch
from headatlas.vlm.model import VLM
from headatlas.vlm.stack import Unfit, stack_of

SLACK = {torch.float32: 2e-3, torch.float64: 1e-6}
"""Largest difference between a bare answer's logits in the branch and in the whole pass, relative to the largest logit."""


class RecordedTurns:
    """A recorded bare pass of `batch`, whose rows are the conversations numbered `rows`.

    Attributes:
        logits: of the bare model at the positions that predict answers, row by row, [n, V], float32.

    Raises:
        Unfit: the model cannot be taken up at single positions, or does not give the same when it is.
    """

    def __init__(self, vlm: VLM, batch: Batch, rows: Sequence[int], check: bool = True) -> None:
        self._vlm, self._batch, self._rows = vlm, batch, rows
        where = batch.predict_mask()
        stack = stack_of(vlm)
        self._recording: Recording = record(vlm.model, stack, batch.to(vlm.device, vlm.dtype), where, cached=True)
        assert self._recording.logits is not None
        self.logits: Float[Tensor, "n V"] = self._recording.logits
        self._answers: Answers = answers_of(batch)  # on the host
        self._number = torch.zeros(where.shape, dtype=torch.long)
        self._number[where] = torch.arange(int(where.sum()))
        if check:
            self._check()

    @property
    def first(self) -> Int[Tensor, " turns"]:
        """The row of `logits` at the first position of each answer."""
        at = [(row, start - 1) for row, spans in enumerate(self._batch.spans) for start, _ in spans]
        return torch.stack([self._number[row, place] for row, place in at])

    def z(self) -> Float[Tensor, "turns L H D"]:
        """z of the language model's heads at the first position of each answer, on the CPU."""
        recording, starts = self._recording, [[start - 1 for start, _ in spans] for spans in self._batch.spans]
        parts = []
        for site in self._vlm.heads.tower("L"):
            z = site.split(recording.z[recording.stack.index[site]])  # [B, T, H, D]
            parts.append(torch.cat([z[row, at] for row, at in enumerate(starts)]).float().cpu())
        return torch.stack(parts, 1)

    def edited(
        self, choice: Sequence[int], edits: Sequence[Edits], scope: Literal["answer", "last"]
    ) -> Float[Tensor, "n V"]:
        """The logits where answer i has the edits `edits[choice[i]]`; the bare ones where `choice[i]` is negative."""
        chosen = torch.tensor(list(choice))
        starts = [first_block(some, self._vlm.heads, self._recording.stack.index) for some in edits]
        # What no answer has, or what has no heads, changes nothing.
        acting = {k: start for k, start in enumerate(starts) if start is not None and bool((chosen == k).any())}
        answers = self._answers.only(torch.isin(chosen, torch.tensor(list(acting), dtype=chosen.dtype)))
        out = self.logits.clone()
        if answers is None:
            return out
        if min(acting.values()) < 0:
            raise Unfit("an edit is of heads outside the language model")
        parts = [
            (compile_group(self._vlm.heads, [edits[k]], self._rows), (chosen == k)[answers.answer]) for k in acting
        ]
        flat = [(edit, chosen == k) for k in acting for edit in edits[k]]
        attention = AttentionPlan(
            self._vlm, [edit for edit, _ in flat], self._batch, self._rows, scope, [mine for _, mine in flat]
        )
        there = answers.to(self._vlm.device)
        plan = ChosenPlan([(one, mine.to(self._vlm.device)) for one, mine in parts])
        self._put(out, answers, branch_hidden(self._recording, there, plan, min(acting.values()), scope, attention))
        return out

    def _put(self, out: Tensor, answers: Answers, hidden: Float[Tensor, "B 1 M d"]) -> None:
        """Put the logits of `hidden` in their places; `answers` are on the host."""
        real = answers.real.flatten().nonzero()[:, 0].to(hidden.device)
        at = self._number.gather(1, answers.at)[answers.real].to(out.device)
        out[at] = self._recording.tail(hidden[:, 0].flatten(0, 1)[real]).to(out.device)

    def _check(self) -> None:
        """Let all answers branch off at the first block without edits, and check that their logits stay."""
        out = torch.zeros_like(self.logits)
        there = self._answers.to(self._vlm.device)
        self._put(out, self._answers, branch_hidden(self._recording, there, GroupPlan({}, 1), 0, "answer"))
        off = float((out - self.logits).abs().max())
        if not off <= SLACK.get(self._vlm.dtype, 0.1) * max(1.0, float(self.logits.abs().max())):
            raise Unfit(f"answers that branch off its bare pass at the first block end {off:.1g} off")
