"""Attention edits of one condition while the blocks of a batch are called one by one.

The blocks run outside the model's own forward, so the places of their queries and keys are given here: the whole sequence in
`resume.py`; in `branch.py` the predicting positions, whose keys are the T keys of the bare pass and then their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.engine.answers import Answers
from headatlas.engine.edits import Edits
from headatlas.heads import AttentionEdit, Site
from headatlas.heads.attention import edited_attention
from headatlas.heads.scope import Scope, Window
from headatlas.vlm.batch import Batch
from headatlas.vlm.image_tokens import placed_edits
from headatlas.vlm.model import VLM


@dataclass(frozen=True, eq=False)
class _AnswerPositions:
    """The counterpart of `Positions` for a branch: `image` over all keys `[B, T + M]`, `last` over the queries `[B, M]`."""

    image: Tensor
    last: Tensor

    def mask(self, scope: Scope) -> Tensor:
        """The queries of scope `last`."""
        return self.last


@dataclass(frozen=True, eq=False)
class _Where:
    positions: Any
    scope: Any
    window: Any


class AttentionPlan:
    """The attention edits of one condition for the conversations numbered `rows`, which are those of `batch`.

    Args:
        vlm: the model.
        edits: the edits, others among them.
        batch, rows: see above.
        scope: where they act.
        answers: for each edit the answers that have it, bool over their numbers; by default all.

    Attributes:
        sites: the sites whose attention is edited.
    """

    def __init__(
        self,
        vlm: VLM,
        edits: Edits,
        batch: Batch,
        rows: Sequence[int],
        scope: Scope,
        answers: Sequence[Bool[Tensor, " n"]] | None = None,
    ) -> None:
        acting = [i for i, edit in enumerate(edits) if isinstance(edit, AttentionEdit) and not edit.no_op]
        own: list[Any] = [_of_rows(edit, rows) for i in acting if isinstance(edit := edits[i], AttentionEdit)]
        self._edits: list[Any] = placed_edits(vlm, batch, own)
        self._answers = None if answers is None else [answers[i] for i in acting]
        self._vlm, self._batch, self._scope = vlm, batch, scope
        grid = vlm.heads  # looked up once: each time it is checked against the model
        self.sites = {grid.site(head) for edit in own for head in edit.heads}

    def __contains__(self, site: Site) -> bool:
        return site in self.sites

    def over_sequence(self) -> AbstractContextManager[Any]:
        """Within the block the edits act on blocks that are called on the whole sequence."""
        positions = self._batch.positions
        return self._in_force(self._edits, _Where(positions, self._scope, Window(0, self._batch.ids.shape[1])))

    def over_answers(self, answers: Answers) -> AbstractContextManager[Any]:
        """Within the block the edits act on blocks called on the predicting positions, after the T keys of the bare pass."""
        at = answers.at.cpu()
        image = self._batch.image_mask
        positions = _AnswerPositions(torch.cat([image, image.gather(1, at)], 1), at == answers.start.cpu())
        scope: Scope = "last" if self._scope == "last" else "all"  # every query predicts an answer
        where = _Where(positions, scope, Window(0, at.shape[1]))
        number = answers.answer.cpu()
        only = None if self._answers is None else [mine.cpu()[number] for mine in self._answers]
        return self._in_force([_on_branch(edit, at) for edit in self._edits], where, only)

    def _in_force(
        self, edits: list[Any], where: Any, only: list[Bool[Tensor, "B M"]] | None = None
    ) -> AbstractContextManager[Any]:
        if not edits:
            return nullcontext()
        return edited_attention(self._vlm.model, self._vlm.heads, [edits], where, only)


def _of_rows(edit: AttentionEdit, rows: Sequence[int]) -> AttentionEdit:
    """The edit for some of the conversations for which its keys are given."""
    return edit if edit.rows is None else replace(edit, keys=edit.keys[list(rows)])


def _on_branch(edit: AttentionEdit, at: Tensor) -> AttentionEdit:
    """Keys over the sequence `[B|1, T]` as keys over the sequence and the predicting positions after it, which are all text."""
    edit = replace(edit, queries=None)
    if not isinstance(edit.keys, Tensor) or edit.heads.towers() != ("L",):
        return edit
    keys = edit.keys if edit.keys.dim() == 2 else edit.keys[None]
    keys = keys.expand(at.shape[0], -1).cpu()
    return replace(edit, keys=torch.cat([keys, keys.gather(1, at)], 1))
