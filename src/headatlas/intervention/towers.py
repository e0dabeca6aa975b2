"""Means of z in any tower of a model: what mean ablation puts in the place of heads of the vision tower or of cross-attention.

A step of a question has no tokens of its own in the vision tower, so there the mean is over all positions of all pictures; in
cross-attention it is over all tokens of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.heads import TEXT_TOWERS, Tower, ZReader
from headatlas.intervention.operations import Means
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import conversations
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.read import in_batches

StudiedTower = Literal["L", "V", "X", "C"]
"""Towers that can be scored: language model, vision tower, cross-attention, connector."""

STUDIED: tuple[Tower, ...] = get_args(StudiedTower)


def towers_of(vlm: VLM, names: Sequence[str]) -> tuple[Tower, ...]:
    """The towers that are asked for, in the order of `STUDIED`; `all` are those that the model has.

    Raises:
        HeadAtlasError: an unknown tower, or one without addressable heads.
    """
    there = tuple(tower for tower in STUDIED if vlm.heads.tower(tower))
    if "all" in names:
        return there
    for name in names:
        if name not in STUDIED:
            raise HeadAtlasError(f"tower must be one of {', '.join(STUDIED)} or all, got {name!r}")
        if name not in there:
            raise HeadAtlasError(f"tower {name} of {vlm.name} has no addressable heads; it has {', '.join(there)}")
    return tuple(tower for tower in STUDIED if tower in names)


def tower_means(vlm: VLM, questions: Sequence[Question], tower: Tower, batch_size: int = 16) -> Means:
    """Mean z of every head of a tower, float32 [L, H, D], over the questions in gold context.

    Layers of different sizes are padded with zeros to the largest.

    Args:
        vlm: the model; its active edits apply.
        questions: of a split that is not evaluated, such as P.
        tower: one of `STUDIED`.
        batch_size: questions a forward.
    """
    if not len(questions):
        raise HeadAtlasError("mean z needs at least one question, got none")
    shape = vlm.heads.padded(tower)
    sums, counts = np.zeros(shape, np.float64), np.zeros(shape[0])

    def work(rows: list[int], batch: Batch) -> None:
        def take(layer: int, z: Tensor) -> None:
            flat = z.float()
            if tower in TEXT_TOWERS:
                flat = flat[batch.mask.to(z.device)][None]
            total = flat.sum((0, 1), dtype=torch.float64).cpu().numpy()
            sums[layer, : total.shape[0], : total.shape[1]] += total
            counts[layer] += flat.shape[0] * flat.shape[1]

        logits_at(vlm, batch, batch.predict_mask(), rows, ZReader(vlm.heads, tower, on_z=take))

    in_batches(vlm, conversations(questions), batch_size, work)
    if not counts.all():
        raise HeadAtlasError(
            f"layer {tower}{int(np.argmin(counts))} of {vlm.name} was not run; the questions show no picture"
        )
    return (sums / counts[:, None, None]).astype(np.float32)
