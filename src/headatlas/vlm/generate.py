"""Generate answers greedily, in batches.

Batches are padded on the left and run under the active edits: the batch's masks apply to the prompt's positions, and
generated tokens count as `answer`. Of the checkpoint's generation settings only the end-of-turn tokens are used. `decode` can
continue from a cached prefix (`prefix.py`); whether a model does so correctly is tested once, against the same batch run in
full.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.cache_utils import DynamicCache

from headatlas.errors import HeadAtlasError
from headatlas.heads.cache import cache_in, cache_name
from headatlas.progress import Progress
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at
from headatlas.vlm.pixels import image_key
from headatlas.vlm.prefix import Prefix, go_on, new_cache
from headatlas.vlm.read import Refused, in_batches, out_of_memory, spell
from headatlas.vlm.vision import seeing

if TYPE_CHECKING:
    from headatlas.vlm.editable import EditableModel

log = logging.getLogger("headatlas")

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""How far logits after a prefix may be from those of the full pass, relative to the largest; 0.05 in half precision."""


class Decoded(NamedTuple):
    """The tokens of one generated answer, without what ended its turn, and whether it did end within the limit."""

    tokens: list[int]
    ended: bool


class Answer(NamedTuple):
    """One generated answer. An answer that did not end within the limit is not right, whatever its text."""

    text: str
    ended: bool


def generate(
    vlm: EditableModel,
    conversations: Sequence[Conversation],
    max_new_tokens: int = 16,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[str]:
    """The text that the model generates greedily in the open last turn of each conversation, in the order given.

    Args:
        vlm: the model; its active edits apply.
        conversations: each with its last turn open; with and without images may be mixed.
        max_new_tokens: tokens per answer at most.
        batch_size: conversations per batch; they are sorted by length first, and a batch that does not fit is split, see
            `read.in_batches`. The vision tower sees an image that several conversations show once.
        progress: called as `progress("generate", done, total)` in conversations.

    Raises:
        HeadAtlasError: a conversation without an open turn, one that the processor refuses (named), logits that are not
            finite, or a single conversation that does not fit in memory.
    """
    return [answer.text for answer in generate_answers(vlm, conversations, max_new_tokens, batch_size, progress)]


def generate_answers(
    vlm: EditableModel,
    conversations: Sequence[Conversation],
    max_new_tokens: int = 16,
    batch_size: int = 32,
    progress: Progress | None = None,
    refused: Refused | None = None,
) -> list[Answer]:
    """Like `generate`, but returns for each answer also whether it ended within `max_new_tokens`.

    If `refused` is given, conversations that the processor refuses are skipped and added to it, index -> reason; their answer
    is `Answer("", False)`.
    """
    out = [Answer("", False)] * len(conversations)
    done = 0

    def work(rows: list[int], batch: Batch) -> None:
        nonlocal done
        for row, one in zip(rows, decode(vlm, batch, rows, max_new_tokens)[0], strict=True):
            out[row] = Answer(spell(vlm, one.tokens), one.ended)
        done += len(rows)
        if progress is not None:
            progress("generate", done, len(conversations))

    keys = [image_key(image) for chat in conversations for image in chat.images]
    with seeing(vlm, len(set(keys)) < len(keys)):
        in_batches(vlm, conversations, batch_size, work, generation_prompt=True, room=max_new_tokens, refused=refused)
    return out


def decode(
    vlm: EditableModel,
    batch: Batch,
    rows: Sequence[int],
    max_new_tokens: int,
    past: tuple[Prefix, Sequence[int]] | None = None,
    keep: bool = False,
) -> tuple[list[Decoded], Prefix | None]:
    """The tokens that each row of an open batch generates, and the cache afterwards.

    Args:
        vlm: the model; its active edits apply.
        batch: made with `generation_prompt`.
        rows: the index of each row in the caller's list, for edits that differ between rows.
        max_new_tokens: most tokens for each row.
        past: a prefix, and for each row of the batch the row of the prefix that it continues. The prefix must have been read
            under the same edits, and these must act on its tokens as they would in this batch.
        keep: whether to return the cache, if the model has one that can be continued.

    Raises:
        HeadAtlasError: logits that are not finite.
    """
    taken = None if past is None or vlm.resumes is False else go_on(*past, batch)
    if taken is None:
        decoded, kept, _ = _run(vlm, batch, rows, max_new_tokens, None, keep and vlm.resumes is not False)
        return decoded, kept
    tested = vlm.resumes is not None
    try:
        decoded, kept, logits = _run(vlm, batch, rows, max_new_tokens, taken, keep, not tested)
        if logits is not None:
            vlm.resumes = _close(logits, logits_at(vlm, batch, batch.positions.mask("answer"), rows), vlm.dtype)
    except HeadAtlasError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        if tested or (isinstance(error, RuntimeError) and out_of_memory(error)):
            raise
        vlm.resumes = False
    if not vlm.resumes:
        log.warning("%s does not continue from a prefix correctly: answers are generated from the beginning", vlm.name)
        decoded, kept, _ = _run(vlm, batch, rows, max_new_tokens, None, False)
    return decoded, kept


@torch.inference_mode()
def _run(
    vlm: EditableModel,
    batch: Batch,
    rows: Sequence[int],
    max_new_tokens: int,
    taken: DynamicCache | None,
    keep: bool,
    logits: bool = False,
) -> tuple[list[Decoded], Prefix | None, Tensor | None]:
    """One call of transformers' `generate`; with `logits` also those [B, V] at the last prompt token."""
    inputs = batch.to(vlm.device, vlm.dtype)
    inputs.pop("position_ids", None)  # generate counts them from the mask, for the prompt and for what follows
    if taken is not None:
        inputs = {name: value for name, value in inputs.items() if not name.startswith("pixel_")}
        inputs[cache_name()] = taken
    elif keep and (cache := new_cache(vlm.model)) is not None:
        inputs[cache_name()] = cache
    greedy = greedy_config(vlm, max_new_tokens, output_logits=logits)
    check: Any = LogitsProcessorList([_RefuseNonFinite(vlm, batch, rows)])
    with vlm.running(batch, rows), only_settings(vlm.model, greedy):
        made = vlm.model.generate(**inputs, generation_config=greedy, logits_processor=check)
    length, ids = batch.ids.shape[1], made.sequences.cpu()
    decoded = [_turn(vlm, row) for row in ids[:, length:].tolist()]
    cache = cache_in(inputs)
    kept = None
    if keep and cache is not None:
        n_cached = cache.get_seq_length()
        ends = [min(length + len(one.tokens), n_cached) for one in decoded]
        kept = Prefix(cache, ids, tuple(zip(batch.starts, ends, strict=True)))
    return decoded, kept, made.logits[0] if logits else None


def greedy_config(vlm: EditableModel, max_new_tokens: int, **more: Any) -> GenerationConfig:
    """Generation settings for greedy decoding: end and padding tokens, none of the checkpoint's other settings."""
    pad = vlm.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(vlm.end_ids),
        pad_token_id=pad if pad is not None else min(vlm.end_ids),
        return_dict_in_generate=True,
        **more,
    )


@contextmanager
def only_settings(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Within the block the model's generation settings are `config`, from which `generate` takes what a call does not set."""
    owners = [part for part in model.modules() if isinstance(vars(part).get("generation_config"), GenerationConfig)]
    before = [part.generation_config for part in owners]
    try:
        for part in owners:
            part.generation_config = config
        yield
    finally:
        for part, old in zip(owners, before, strict=True):
            part.generation_config = old


class _RefuseNonFinite(LogitsProcessor):
    """Raises if a step's logits are not finite; changes nothing."""

    def __init__(self, vlm: EditableModel, batch: Batch, rows: Sequence[int]) -> None:
        self.vlm, self.batch, self.rows = vlm, batch, rows

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` [B, V], unchanged."""
        in_prompt = input_ids.shape[1] <= self.batch.ids.shape[1]
        require_finite(self.vlm, scores, self.batch if in_prompt else None, self.rows)
        return scores


def _turn(vlm: EditableModel, tokens: list[int]) -> Decoded:
    """The tokens up to the first that ends a turn."""
    end = next((i for i, token in enumerate(tokens) if token in vlm.end_ids), None)
    return Decoded(tokens[:end], end is not None)


def _close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    error = (found.float() - wanted.to(found.device)).abs().max()
    return bool(error <= TOLERANCE.get(dtype, 5e-2) * max(1.0, float(wanted.abs().max())))
