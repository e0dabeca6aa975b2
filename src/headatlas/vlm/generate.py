"""Greedy answers, many at once.

Knows `transformers`' generate with its KV cache; knows no gold answers. Batches are padded on the left, stop at the end of the
turn, and run under the active edits: the prompt's positions by the batch's masks, decoded tokens as `answer`. `decode` goes on
from what was read before where that can be taken up (`prefix.py`); whether it can is tried out once for every model, against
the same batch run from its beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from headatlas.heads.cache import cache_in, cache_name
from headatlas.vlm.batch import Batch
from headatlas.vlm.chat import Conversation
from headatlas.vlm.forward import logits_at
from headatlas.vlm.pixels import image_key
from headatlas.vlm.prefix import Prefix, go_on, new_cache
from headatlas.vlm.read import in_batches, out_of_memory, spell
from headatlas.vlm.vision import seeing

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

log = logging.getLogger("headatlas")

SLACK = {torch.float32: 1e-3, torch.float64: 1e-6}
"""How far logits behind a prefix may be from those of the whole pass, relative to the largest; 0.05 in half precision."""

_GOES_ON: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Models that were tried out, and whether they go on from a prefix as they should."""


def generate(
    vlm: VLM,
    conversations: Sequence[Conversation],
    max_new_tokens: int = 16,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """What the model says in the open last turn of each conversation, decoded greedily, in the order given.

    Args:
        vlm: the model; its active edits apply.
        conversations: each with its last turn open.
        max_new_tokens: at most so many tokens are said.
        batch_size: conversations per batch; they are sorted by length first, and a batch is cut or halved where it does not
            fit, see `read.in_batches`. A picture that several conversations show is seen once.
        progress: called with the number of conversations just done.

    Raises:
        HeadAtlasError: a conversation without an open turn, or not even one fits in memory.
    """
    out = [""] * len(conversations)

    def work(rows: list[int], batch: Batch) -> None:
        for row, said in zip(rows, decode(vlm, batch, rows, max_new_tokens)[0], strict=True):
            out[row] = spell(vlm, said)
        if progress is not None:
            progress(len(rows))

    shown = [image_key(image) for chat in conversations for image in chat.images]
    with seeing(vlm, len(set(shown)) < len(shown)):
        in_batches(vlm, conversations, batch_size, work, generation_prompt=True, room=max_new_tokens)
    return out


def decode(
    vlm: VLM,
    batch: Batch,
    rows: Sequence[int],
    max_new_tokens: int,
    past: tuple[Prefix, Sequence[int]] | None = None,
    keep: bool = False,
) -> tuple[list[list[int]], Prefix | None]:
    """The tokens that each row of an open batch says, without what ends its turn, and what is in the cache then.

    Args:
        vlm: the model; its active edits apply.
        batch: made with `generation_prompt`.
        rows: the index of each row in the caller's list, for edits that differ from row to row.
        max_new_tokens: at most so many tokens are said.
        past: a prefix, and the row of it that each row of the batch goes on from. It must have been read under the same
            edits, and these must do to its tokens what they would do in this batch.
        keep: give the cache back, where the model has one that can be gone on from.
    """
    taken = None if past is None or not _GOES_ON.get(vlm, True) else go_on(*past, batch)
    if taken is None:
        said, kept, _ = _run(vlm, batch, rows, max_new_tokens, None, keep and _GOES_ON.get(vlm, True))
        return said, kept
    tried = vlm in _GOES_ON
    try:
        said, kept, logits = _run(vlm, batch, rows, max_new_tokens, taken, keep, not tried)
        if logits is not None:
            _GOES_ON[vlm] = _alike(logits, logits_at(vlm, batch, batch.positions.mask("answer"), rows), vlm.dtype)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        if tried or (isinstance(error, RuntimeError) and out_of_memory(error)):
            raise
        _GOES_ON[vlm] = False
    if not _GOES_ON[vlm]:
        log.warning("%s does not go on from a prefix as it should: answers are generated from the beginning", vlm.name)
        said, kept, _ = _run(vlm, batch, rows, max_new_tokens, None, False)
    return said, kept


@torch.inference_mode()
def _run(
    vlm: VLM,
    batch: Batch,
    rows: Sequence[int],
    max_new_tokens: int,
    taken: DynamicCache | None,
    keep: bool,
    logits: bool = False,
) -> tuple[list[list[int]], Prefix | None, Tensor | None]:
    """`generate` of transformers; `logits` [B, V] at the last prompt token where asked for."""
    inputs = batch.to(vlm.device, vlm.dtype)
    inputs.pop("position_ids", None)  # generate counts them from the mask, for the prompt and for what follows
    if taken is not None:
        inputs = {name: value for name, value in inputs.items() if not name.startswith("pixel_")}
        inputs[cache_name()] = taken
    elif keep and (cache := new_cache(vlm.model)) is not None:
        inputs[cache_name()] = cache
    pad = vlm.tokenizer.pad_token_id
    with vlm.running(batch, rows):
        made = vlm.model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(vlm.end_ids),
            pad_token_id=pad if pad is not None else min(vlm.end_ids),
            # A checkpoint's sampling settings have no meaning here, and would be warned about.
            temperature=None,
            top_p=None,
            top_k=None,
            return_dict_in_generate=True,
            output_logits=logits,
        )
    length, ids = batch.ids.shape[1], made.sequences.cpu()
    said = [_turn(vlm, row) for row in ids[:, length:].tolist()]
    cache = cache_in(inputs)
    kept = None
    if keep and cache is not None:
        held = cache.get_seq_length()
        ends = [min(length + len(tokens), held) for tokens in said]
        kept = Prefix(cache, ids, tuple(zip(batch.starts, ends, strict=True)))
    return said, kept, made.logits[0] if logits else None


def _turn(vlm: VLM, tokens: list[int]) -> list[int]:
    """The tokens up to the first that ends a turn."""
    return tokens[: next((i for i, token in enumerate(tokens) if token in vlm.end_ids), len(tokens))]


def _alike(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    off = (found.float() - wanted.to(found.device)).abs().max()
    return bool(off <= SLACK.get(dtype, 5e-2) * max(1.0, float(wanted.abs().max())))
