"""How well the model answers held-out scenes while it trains: whole answers under teacher forcing, by function and family.

Knows the pool and the forward pass of `losses.py`; the figures of the model card come from `card.py` and generated answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.vlm.reference.losses import hidden
from headatlas.vlm.reference.pool import to_float
from headatlas.vlm.reference.tokens import BLIND, OTHER

if TYPE_CHECKING:
    from headatlas.vlm.reference.train import Trainer

_BATCH = 64


def accuracies(trainer: Trainer, blind: bool) -> dict[str, float]:
    """Return, for each function that occurs, the share (0..1) of its steps whose whole answer is the argmax.

    `blind` looks at steps that need no image, on conversations without one. Otherwise "final" (the last step of a question)
    and "direct" (the answer without steps) are told too.
    """
    right: dict[str, list[bool]] = {}
    for kind in ("own",) if blind else ("own", "direct"):
        _collect(trainer, kind, blind, right)
    return {name: float(np.mean(right[name])) for name in (*FUNCTIONS, "final", "direct") if name in right}


def _collect(trainer: Trainer, kind: str, blind: bool, right: dict[str, list[bool]]) -> None:
    pool, encoder = trainer.held_out, trainer.encoder
    rows = [pool.row(kind, i) for i in range(len(pool.lengths(kind)))]
    if blind:
        rows = [encoder.without_image(row) for row in rows]
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        ids, _ = trainer.sampler.collate(part, max(len(row.ids) for row in part))
        pixels = None if blind else to_float(trainer.processor, pool.images(pool.scene[kind][start : start + _BATCH]))
        with trainer._autocast():
            states = hidden(trainer.model, ids, pixels)
            said = torch.cat([trainer.model.lm_head(row[None]).argmax(-1) for row in states]).numpy()
        for i, row in enumerate(part):
            marks = row.marks[1:]
            same = said[i, : len(marks)] == row.ids[1:]
            ends = np.flatnonzero((row.ids[1:] == encoder.end) & (marks > 0))
            for end in ends:
                begin = end
                while begin and marks[begin - 1] and row.ids[begin] != encoder.end:
                    begin -= 1
                whole = bool(same[begin : end + 1].all())
                mark = int(marks[end])
                if blind and mark < BLIND:
                    continue
                function = mark % BLIND - 1
                if function == OTHER:
                    right.setdefault("direct", []).append(whole)
                else:
                    right.setdefault(FUNCTIONS[function], []).append(whole)
                    if end == ends[-1]:
                        right.setdefault("final", []).append(whole)
