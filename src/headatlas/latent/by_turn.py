"""Edits that are decided for each turn of a conversation, such as by the model's confidence in its bare answer.

The bare model reads a batch first. Its prediction at each turn decides which edits, if any, act at that turn's positions. The
edited answers branch off this pass (`engine.turns`), which computes only the positions that predict them, and are not seen by
later turns. Models that cannot be run so, and batches under other edits as well, are run once for each turn. In an open batch
only the open turn is edited.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.engine.turns import RecordedTurns
from headatlas.heads import AttentionEdit, Edit, ZReader, edit_heads
from headatlas.heads.scope import Positions
from headatlas.vlm import VLM, Batch
from headatlas.vlm.forward import logits_at
from headatlas.vlm.stack import Unfit, why_unfit

log = logging.getLogger("headatlas")

Places = Literal["first", "answer"]
"""Where a turn's edits act: only at the position that predicts its answer's first token, or at
all positions that predict its answer."""


def turns(batch: Batch) -> list[tuple[int, int, int]]:
    """(row, first position, end) of each turn that may be edited: the positions that predict its answer.

    In an open batch these are only the open turns.
    """
    if batch.open:
        at = [int(batch.mask[row].nonzero()[-1]) for row in range(len(batch.starts))]
        return [(row, last, last + 1) for row, last in enumerate(at)]
    return [(row, start - 1, end - 1) for row, spans in enumerate(batch.spans) for start, end in spans]


class BareTurns:
    """What the bare model predicts at the first position of each turn of a batch, computed when it is asked for."""

    def __init__(self, vlm: VLM, batch: Batch, recorded: RecordedTurns | None = None) -> None:
        self._vlm, self._batch, self._recorded = vlm, batch, recorded

    @cached_property
    def confidences(self) -> Float[Tensor, " turns"]:
        """The probability of the likeliest first token of each turn's answer."""
        if self._recorded is not None:
            logits = self._recorded.logits[self._recorded.first.to(self._recorded.logits.device)]
        else:
            logits = logits_at(self._vlm, self._batch, self._mask(), range(len(self._batch.starts)))
        return logits.softmax(-1).amax(-1).cpu()

    @cached_property
    def z(self) -> Float[Tensor, "turns L H D"]:
        """z of the language model's heads."""
        if self._recorded is not None:
            return self._recorded.z()
        mask = self._mask()
        with ZReader(self._vlm.heads) as reader:
            logits_at(self._vlm, self._batch, mask, range(len(self._batch.starts)))
        return torch.stack([reader.z[layer][mask.to(self._vlm.device)].float().cpu() for layer in sorted(reader.z)], 1)

    def _mask(self) -> Tensor:
        mask = torch.zeros_like(self._batch.image_mask)
        for row, start, _ in turns(self._batch):
            mask[row, start] = True
        return mask


@contextmanager
def edits_by_turn(
    vlm: VLM,
    batch: Batch,
    choice: Sequence[int],
    edits: Sequence[Sequence[Edit | AttentionEdit]],
    places: Places,
) -> Iterator[None]:
    """Within the block, turn i of `turns(batch)` has the edits `edits[choice[i]]`; none where `choice[i]` is negative."""
    scope = (
        "prompt" if places == "first" else "answer"
    )  # of the two, only `answer` covers tokens that are decoded later
    with ExitStack() as stack:
        for k, some in enumerate(edits):
            mask = torch.zeros_like(batch.image_mask)
            # Tokens that are decoded later count as answers in every row, so that then each row has a list of its own.
            by_row = batch.open and places == "answer"
            rows: list[list[Any]] = [[] for _ in batch.starts]
            for chosen, (row, start, end) in zip(choice, turns(batch), strict=True):
                if chosen == k:
                    mask[row, start : start + 1 if places == "first" else end] = True
                    rows[row] = list(some)
            if not bool(mask.any()):
                continue
            positions = Positions(image=batch.image_mask if batch.image_in_text else None, prompt=mask, answer=mask)
            stack.enter_context(edit_heads(vlm.model, vlm.heads, rows if by_row else list(some), scope, positions))
        yield


def around_turns(
    vlm: VLM,
    decide: Callable[[BareTurns], Sequence[int]],
    edits: Sequence[Sequence[Edit | AttentionEdit]],
    places: Places,
    key: str,
) -> AbstractContextManager[VLM]:
    """The context in which every batch is read by `decide` first, and its turns have the edits that it chose."""
    reading = _ByTurn(vlm, decide, edits, places)
    return vlm.around_batches(reading.enter, key, read=reading.read)


@dataclass(eq=False)
class _ByTurn:
    vlm: VLM
    decide: Callable[[BareTurns], Sequence[int]]
    edits: Sequence[Sequence[Edit | AttentionEdit]]
    places: Places
    turn: int | None = None
    """The only turn of each conversation that is edited; None: all."""
    decided: tuple[Batch, list[int]] | None = None
    """The choice for the batch that is run turn by turn."""

    def enter(self, batch: Batch, rows: Sequence[int]) -> AbstractContextManager[Any]:
        """The edits for one run of the batch."""
        if self.decided is None or self.decided[0] is not batch:
            self.decided = batch, list(self.decide(BareTurns(self.vlm, batch)))
        choice = self.decided[1]
        if self.turn is None:
            self.decided = None
        else:
            numbers = [turn for spans in batch.spans for turn in range(len(spans))]
            choice = [k if number == self.turn else -1 for k, number in zip(choice, numbers, strict=True)]
        return edits_by_turn(self.vlm, batch, choice, self.edits, self.places)

    @torch.inference_mode()
    def read(self, batch: Batch, rows: Sequence[int], alone: bool) -> Tensor | None:
        """The logits at the predicting positions of a batch without an open turn."""
        if batch.open:
            return None
        if alone and self.vlm.branches is not False:
            try:
                with self.vlm.bare():
                    recorded = RecordedTurns(self.vlm, batch, rows, check=self.vlm.branches is None)
                    choice = self.decide(BareTurns(self.vlm, batch, recorded))
                    logits = recorded.edited(choice, self.edits, "last" if self.places == "first" else "answer")
                self.vlm.branches = True
                return logits
            except (Unfit, RuntimeError) as error:
                why = why_unfit(error)
                if not why:
                    raise
                log.info("%s: %s; answers with edits of their own are run in full", self.vlm.name, why)
                self.vlm.branches = False
        return self._one_by_one(batch, rows)

    def _one_by_one(self, batch: Batch, rows: Sequence[int]) -> Tensor | None:
        """The same with a run of the batch for each turn, in which only this turn is edited."""
        where, most = batch.predict_mask(), max(map(len, batch.spans))
        if most <= 1:
            return None
        turn_at = torch.full(where.shape, -1)
        for row, spans in enumerate(batch.spans):
            for turn, (start, end) in enumerate(spans):
                turn_at[row, start - 1 : end - 1] = turn
        turn_of, out = turn_at[where], None
        try:
            for self.turn in range(most):
                logits = logits_at(self.vlm, batch, where, rows)
                out = torch.empty_like(logits) if out is None else out
                mine = (turn_of == self.turn).to(logits.device)
                out[mine] = logits[mine]
        finally:
            self.turn = self.decided = None
        return out
