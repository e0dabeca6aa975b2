"""Read a VLM's answers from one teacher-forced pass, for many conversations at once.

Under greedy decoding in gold context an answer is exactly the gold one if and only if every gold token, including the end of
turn, is the argmax under teacher forcing. So all steps of a question are read in one pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch, UnreadableError, encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at

if TYPE_CHECKING:
    from headatlas.vlm.editable import EditableModel

MAX_TOKENS = 1 << 15
"""Padded tokens of one batch; a batch of many long conversations is split."""

Refused = dict[int, str]
"""Conversations that cannot be read, by index, each with the reason."""

log = logging.getLogger("headatlas")


@dataclass(frozen=True)
class Readout:
    """One answer as read under teacher forcing.

    Attributes:
        text: the argmax tokens at the answer's positions, up to an end of turn. Greedy decoding gives the same text as long as
            it agrees with the gold answer, and deviates from it at the same token.
        exact: every gold token, end of turn included, is the argmax: greedy decoding gives exactly the gold answer.
        logprob: sum of the log-probabilities of the gold tokens, end of turn included, in nats.
        ended: whether an end of turn is among the argmax tokens. An answer that does not end is not right. True where the
            chat template writes no end of turn, so that a pass cannot tell.
        stops: number of tokens that greedy decoding generates before it ends its turn, where one pass can tell: it generates
            the gold tokens and ends there, or ends earlier. None where it goes on with other tokens.
    """

    text: str
    exact: bool
    logprob: float
    ended: bool = True
    stops: int | None = None


def read(
    vlm: EditableModel,
    conversations: Sequence[Conversation],
    batch_size: int = 32,
    progress: Progress | None = None,
    refused: Refused | None = None,
) -> list[list[Readout]]:
    """Read every answer of every conversation, in the order given.

    Args:
        vlm: the model; its active edits apply.
        conversations: with an answer in every turn; with and without images may be mixed.
        batch_size: conversations per forward pass; they are sorted by length first, so that batches are full.
        progress: called as `progress("read", done, total)` in conversations.
        refused: if given, conversations that the model's processor refuses are left out and added here, index -> reason.

    Returns:
        One list per conversation with one `Readout` per turn; an empty list for a refused conversation.

    Raises:
        HeadAtlasError: a conversation is refused (named), unless `refused` is given; logits are not finite; or a single
            conversation does not fit in memory.
    """
    out: list[list[Readout]] = [[] for _ in conversations]
    done = 0

    def work(rows: list[int], batch: Batch) -> None:
        nonlocal done
        logits = vlm.read_otherwise(batch, rows)
        if logits is None:
            logits = logits_at(vlm, batch, batch.predict_mask(), rows)
        require_finite(vlm, logits, batch, rows)
        for row, readouts in zip(rows, readouts_of(vlm, batch, logits), strict=True):
            out[row] = readouts
        done += len(rows)
        if progress is not None:
            progress("read", done, len(conversations))

    in_batches(vlm, conversations, batch_size, work, refused=refused)
    return out


def readouts_of(vlm: EditableModel, batch: Batch, logits: Float[Tensor, "n V"]) -> list[list[Readout]]:
    """Readouts of a batch from the logits at `batch.predict_mask()`, row by row.

    Raises:
        HeadAtlasError: the logits are not finite.
    """
    require_finite(vlm, logits)
    gold = torch.cat([batch.ids[row, a:b] for row, spans in enumerate(batch.spans) for a, b in spans]).to(logits.device)
    best = logits.argmax(1)
    logprobs = torch.log_softmax(logits, dim=1).gather(1, gold[:, None])[:, 0].double().cpu()
    correct, tokens = (best == gold).cpu(), best.cpu().tolist()
    out: list[list[Readout]] = []
    at = 0
    for spans, ends in zip(batch.spans, batch.ends, strict=True):
        out.append([])
        for (start, end), has_end in zip(spans, ends, strict=True):
            part = slice(at, at + end - start)
            at += end - start
            out[-1].append(
                Readout(
                    text=spell(vlm, tokens[part]),
                    exact=bool(correct[part].all()),
                    logprob=float(logprobs[part].sum()),
                    ended=not has_end or has_ended(vlm, tokens[part]),
                    stops=_stops(vlm, tokens[part], correct[part]),
                )
            )
    return out


def _stops(vlm: EditableModel, best: list[int], correct: Bool[Tensor, " n"]) -> int | None:
    """Where greedy decoding ends its turn: at its first token that is not gold, or at the last gold one, if that ends it."""
    wrong = (~correct).nonzero()
    first = int(wrong[0]) if len(wrong) else len(best) - 1
    return first if best[first] in vlm.end_ids else None


def spell(vlm: EditableModel, tokens: Sequence[int]) -> str:
    """The text of generated tokens up to the first end of turn, without special tokens and surrounding blanks."""
    kept: list[int] = []
    for token in tokens:
        if token in vlm.end_ids:
            break
        kept.append(int(token))
    return vlm.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()


def has_ended(vlm: EditableModel, tokens: Sequence[int]) -> bool:
    """Whether generated tokens contain an end of turn. Without one an answer is not right, whatever its text."""
    return any(token in vlm.end_ids for token in tokens)


def in_batches(
    vlm: EditableModel,
    conversations: Sequence[Conversation],
    batch_size: int,
    work: Callable[[list[int], Batch], None],
    tokens: int = MAX_TOKENS,
    generation_prompt: bool = False,
    room: int = 0,
    refused: Refused | None = None,
) -> None:
    """Call `work(rows, batch)` so that every conversation is in one batch, batches of similar length, the longest first.

    The conversations of a batch show equally many images, so that a row's result does not depend on the others. A batch that
    does not fit in memory is halved (with a warning in the log "headatlas"), and later ones are not larger than what fitted.

    Args:
        vlm: the model.
        conversations: as for `encode`.
        batch_size: rows of a batch at most.
        work: called with the indices of the conversations in a batch, and the batch.
        tokens: padded tokens of a batch at most, unless it has a single row.
        generation_prompt: as for `encode`.
        room: tokens per row that are still to be generated, counted in `tokens`.
        refused: if given, conversations that cannot be read are left out and added here, index -> reason.

    Raises:
        HeadAtlasError: a conversation cannot be read, unless `refused` is given, or one does not fit in memory.
    """
    todo = by_length(conversations, batch_size)[::-1]
    most = batch_size
    while todo:
        rows = todo.pop()
        if len(rows) > most:
            todo += [rows[most:], rows[:most]]
            continue
        try:
            batch = encode(vlm, [conversations[row] for row in rows], generation_prompt)
        except UnreadableError as error:
            if refused is None:
                raise
            refused.update({rows[i]: reason for i, reason in error.reasons.items()})
            if rest := [row for row in rows if row not in refused]:
                todo.append(rest)
            continue
        fitting = max(1, tokens // (batch.ids.shape[1] + room))
        if len(rows) > fitting:
            todo += [rows[fitting:], rows[:fitting]]
            continue
        full = False
        try:
            work(rows, batch)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; on the CPU it has no class of its own
            if not out_of_memory(error):
                raise
            full = True
        # Outside the except clause: the traceback would keep the tensors of the failed batch alive.
        if full:
            most = len(rows) // 2
            if not most:
                raise HeadAtlasError(
                    f"out of memory with a single conversation of {batch.ids.shape[1]} tokens; use a smaller model, "
                    "dtype or image size"
                )
            log.warning("out of memory with %d conversations in a batch: going on with %d", len(rows), most)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            todo += [rows[most:], rows[:most]]


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error reports a lack of memory, on a device or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def by_length(conversations: Sequence[Conversation], batch_size: int) -> list[list[int]]:
    """Indices in batches of equally many images and similar length (in characters), the longest first, so that a batch that
    is too large fails at once."""

    def length(row: int) -> int:
        chat = conversations[row]
        return sum(len(turn.user) + len(turn.answer or "") + 8 for turn in chat.turns) + sum(
            image.width * image.height // 196 for image in chat.images
        )

    order = sorted(range(len(conversations)), key=lambda row: (-len(conversations[row].images), -length(row), row))
    batches: list[list[int]] = []
    for row in order:
        n_images = len(conversations[row].images)
        if not batches or len(batches[-1]) == batch_size or len(conversations[batches[-1][0]].images) != n_images:
            batches.append([])
        batches[-1].append(row)
    return batches
