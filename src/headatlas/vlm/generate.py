"""Greedy answers, many at once.

Knows `transformers`' generate with its KV cache; knows no gold answers. Batches are padded on the left, stop at the
end of the turn,
and run under the active edits: the prompt's positions by the batch's masks, decoded tokens as `answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation
from headatlas.vlm.read import by_length, spell

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM


@torch.inference_mode()
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
        batch_size: conversations per batch; they are sorted by length first.
        progress: called with the number of conversations just done.
    """
    out = [""] * len(conversations)
    pad = vlm.tokenizer.pad_token_id
    for rows in by_length(conversations, batch_size):
        batch = encode(vlm, [conversations[row] for row in rows], generation_prompt=True)
        inputs = batch.to(vlm.device, vlm.dtype)
        inputs.pop("position_ids", None)  # generate counts them from the mask, for the prompt and for what follows
        with vlm.running(batch, rows):
            tokens = vlm.model.generate(
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
            )
        for row, said in zip(rows, tokens[:, batch.ids.shape[1] :].tolist(), strict=True):
            out[row] = spell(vlm, said)
        if progress is not None:
            progress(len(rows))
    return out
