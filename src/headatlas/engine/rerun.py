"""Sweeps by full passes, for models whose blocks cannot be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from headatlas.engine.answers import answers_of, logits_outcome
from headatlas.engine.edits import Edits
from headatlas.engine.naive import BRANCHED, step_by_step
from headatlas.engine.result import Sweep, SweepTable
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.read import in_batches, read


class UnreadableScopeError(HeadAtlasError):
    """The mass of valid answers cannot be read in this scope, because the model's blocks cannot be resumed."""


def rerun(
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
            raise UnreadableScopeError(
                f"valid cannot be read in scope {scope!r} of {vlm.name}: {reason}; use another scope"
            )
        return _steps(vlm, conversations, conditions, scope, batch_size, reason, progress)
    out = SweepTable(vlm, conversations, len(conditions), progress)
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
