"""Measure how well the model answers held-out scenes during training: whole answers under teacher forcing, by function.

The figures of the model card come from `card.py` and generated answers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.reference.batches import Sampler
from headatlas.reference.pool import Pool, to_float
from headatlas.reference.tokens import BLIND, Encoder

_BATCH = 64


@runtime_checkable
class Measured(Protocol):
    """The members of a `Trainer` that are used here."""

    held_out: Pool
    encoder: Encoder
    sampler: Sampler
    processor: Any
    device: torch.device
    model: Any

    def hidden(self, ids: Tensor, pixels: Tensor | None) -> Tensor:
        """The last hidden states."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The arithmetic of the training."""
        ...


def accuracies(trainer: Measured) -> dict[str, float]:
    """Return, for each function, the share (0..1) of its steps whose whole answer is the argmax.

    "final" is the last step of a question, "direct" the answer without steps, "quiz" a step without its question.
    """
    right: dict[str, list[bool]] = {}
    for kind in ("own", "direct", "quiz"):
        _collect(trainer, kind, right)
    return {name: float(np.mean(right[name])) for name in (*FUNCTIONS, "final", "direct", "quiz") if name in right}


def lookups(trainer: Measured) -> dict[str, float]:
    """Return the share (0..1) of the words of held-out listings (things in reading order) that are the argmax."""
    pool, encoder = trainer.held_out, trainer.encoder
    captions = [pool.row("caption", i) for i in range(len(pool.lengths("caption")))]
    rows = [encoder.listing(row, np.arange(encoder.n_things(row))) for row in captions]
    right: list[np.ndarray] = []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        ids, weights = trainer.sampler.collate(part, max(len(row.ids) for row in part))
        pixels = to_float(trainer.processor, pool.images(pool.scene["caption"][start : start + _BATCH]), trainer.device)
        with trainer.autocast():
            states = trainer.hidden(ids, pixels)
            predicted = torch.stack([trainer.model.lm_head(row[:-1]).argmax(-1) for row in states]).cpu()
        right.append((predicted == ids[:, 1:])[weights[:, 1:] > 0].numpy())
    return {"listing": float(np.concatenate(right).mean())}


def _collect(trainer: Measured, kind: str, right: dict[str, list[bool]]) -> None:
    pool, encoder = trainer.held_out, trainer.encoder
    rows = [pool.row(kind, i) for i in range(len(pool.lengths(kind)))]
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        ids, _ = trainer.sampler.collate(part, max(len(row.ids) for row in part))
        pixels = to_float(trainer.processor, pool.images(pool.scene[kind][start : start + _BATCH]), trainer.device)
        with trainer.autocast():
            states = trainer.hidden(ids, pixels)
            predicted = torch.cat([trainer.model.lm_head(row[None]).argmax(-1) for row in states]).cpu().numpy()
        for i, row in enumerate(part):
            marks = row.marks[1:]
            same = predicted[i, : len(marks)] == row.ids[1:]
            ends = np.flatnonzero((row.ids[1:] == encoder.end) & (marks > 0))
            for end in ends:
                begin = end
                while begin and marks[begin - 1] and row.ids[begin] != encoder.end:
                    begin -= 1
                whole = bool(same[begin : end + 1].all())
                if kind != "own":
                    right.setdefault(kind, []).append(whole)
                    continue
                right.setdefault(FUNCTIONS[int(marks[end]) % BLIND - 1], []).append(whole)
                if end == ends[-1]:
                    right.setdefault("final", []).append(whole)
