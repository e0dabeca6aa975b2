"""The slow definition of an edit: every step is a conversation of its own, run in full, and edited as the scope says.

The fast paths are tested against it. In the scopes `answer` and `last` only the step that is read is edited, while the gold
answers in its context are processed by the bare model. In the other scopes the context is edited, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headatlas.engine.edits import Edits
from headatlas.heads import edit_heads
from headatlas.vlm.batch import Batch, encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.forward import logits_at
from headatlas.vlm.image_tokens import placed_edits
from headatlas.vlm.model import VLM
from headatlas.vlm.read import Readout, readouts_of

BRANCHED = ("answer", "last")
"""Scopes in which an edit of one step's answer is not seen by the next step."""


def step_by_step(
    vlm: VLM, conversations: Sequence[Conversation], edits: Edits, scope: str = "all", batch_size: int = 1
) -> list[list[Readout]]:
    """Read every answer of every conversation under `edits`, each step in a forward of its own.

    Args:
        vlm: the model, without active edits.
        conversations: with an answer in every turn.
        edits: act in order; values for each conversation (`[B, L, H, D]`) are in the order of the conversations.
        scope: one of `heads.SCOPES`.
        batch_size: steps per forward; 1 is what published scripts do.

    Returns:
        One list per conversation, one `Readout` per turn.
    """
    steps = [(row, turn) for row, chat in enumerate(conversations) for turn in range(len(chat.turns))]
    out: list[list[Readout]] = [[] for _ in conversations]
    for start in range(0, len(steps), batch_size):
        some = steps[start : start + batch_size]
        chats = [Conversation(conversations[row].images, conversations[row].turns[: turn + 1]) for row, turn in some]
        batch = encode(vlm, chats)
        last = _last_alone(batch)
        per_row = [[edit.at_row(row) for edit in edits] for row, _ in some]
        given = per_row if any(edit.rows is not None for edit in edits) else list(edits)
        positions = (last if scope in BRANCHED else batch).positions
        with edit_heads(vlm.model, vlm.heads, placed_edits(vlm, batch, given), scope, positions):
            logits = logits_at(vlm, last, last.predict_mask(), [row for row, _ in some])
        for (row, _), readouts in zip(some, readouts_of(vlm, last, logits), strict=True):
            out[row] += readouts
    return out


def _last_alone(batch: Batch) -> Batch:
    """The batch in which only the last answer of each row counts as an answer."""
    return replace(batch, spans=tuple(s[-1:] for s in batch.spans), ends=tuple(e[-1:] for e in batch.ends))
