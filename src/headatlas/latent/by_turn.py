"""Edits that are decided for each turn of a conversation, such as by the model's confidence in its bare answer.

The bare model reads a batch first. Its prediction at each turn decides which edits, if any, act at that turn's positions when the
batch is run. In an open batch only the open turn is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.heads import AttentionEdit, Edit, ZReader, edit_heads
from headatlas.heads.scope import Positions
from headatlas.vlm import VLM, Batch
from headatlas.vlm.forward import logits_at

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


def first_mask(batch: Batch) -> Tensor:
    """True at the first position of each turn in `turns`."""
    mask = torch.zeros_like(batch.image_mask)
    for row, start, _ in turns(batch):
        mask[row, start] = True
    return mask


def confidences(vlm: VLM, batch: Batch) -> Float[Tensor, " turns"]:
    """The probability of the likeliest first token of each turn's answer, under the edits that are active."""
    return logits_at(vlm, batch, first_mask(batch), range(len(batch.starts))).softmax(-1).amax(-1).cpu()


def z_at_turns(vlm: VLM, batch: Batch) -> Float[Tensor, "turns L H D"]:
    """z of the language model's heads at the position that predicts the first token of each turn's answer."""
    mask = first_mask(batch)
    with ZReader(vlm.heads) as reader:
        logits_at(vlm, batch, mask, range(len(batch.starts)))
    return torch.stack([reader.z[layer][mask.to(vlm.device)].float().cpu() for layer in sorted(reader.z)], 1)


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
    decide: Callable[[Batch], Sequence[int]],
    edits: Sequence[Sequence[Edit | AttentionEdit]],
    places: Places,
    key: str,
) -> Any:
    """The context in which every batch is read by `decide` first, and then run with the edits that it chose."""

    def enter(batch: Batch, rows: Sequence[int]) -> Any:
        return edits_by_turn(vlm, batch, decide(batch), edits, places)

    return vlm.around_batches(enter, key)
