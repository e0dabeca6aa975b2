"""Turn the same conversations into a batch once, however many conditions read them.

The memo is in use only within a context, at the start of which everything that decides how conversations become tokens is
digested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from torch import Tensor

from headatlas.vlm.chat import Conversation
from headatlas.vlm.identity import fingerprint, how_it_reads
from headatlas.vlm.pixels import image_key

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch


class EncodingMemo:
    """Batches by the content of their conversations; the least recently used are dropped above `max_bytes`.

    Attributes:
        asked, made: how many batches were asked for while in use, and how many were encoded.
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept: LRUCache[str, Batch] = LRUCache(max_bytes, getsizeof=_size)
        self._settings = ""
        self.asked = self.made = 0

    @contextmanager
    def installed(self, model: Any, processor: Any) -> Iterator[None]:
        """Within the context batches are kept; `model` and `processor` must not change how they read in it."""
        if self._settings:  # in use already
            yield
            return
        self._settings = fingerprint(how_it_reads(model, processor))
        try:
            yield
        finally:
            self._settings = ""

    def batch(
        self, conversations: Sequence[Conversation], generation_prompt: bool, side: str, make: Callable[[], Batch]
    ) -> Batch:
        """What `make()` returns, with tensors of its own; kept where the memo is in use."""
        if not self._settings:
            return make()
        self.asked += 1
        key = _key(self._settings, conversations, generation_prompt, side)
        known = self._kept.get(key)
        if known is None:
            known = make()
            self.made += 1
            if _size(known) <= self._kept.maxsize:
                self._kept[key] = _copy(known)
            return known
        return _copy(known)


def _key(settings: str, conversations: Sequence[Conversation], generation_prompt: bool, side: str) -> str:
    digest = hashlib.blake2b(repr((settings, generation_prompt, side)).encode(), digest_size=16)
    for chat in conversations:
        turns = [(turn.user, turn.answer) for turn in chat.turns]
        digest.update(repr((chat.name, turns, [image_key(image) for image in chat.images])).encode("utf-8", "replace"))
    return digest.hexdigest()


def _copy(batch: Batch) -> Batch:
    """The same batch with tensors of its own: some models write into their inputs."""
    inputs = {name: value.clone() if isinstance(value, Tensor) else value for name, value in batch.inputs.items()}
    return replace(batch, inputs=inputs, image_mask=batch.image_mask.clone())


def _size(batch: Batch) -> int:
    tensors = [value for value in batch.inputs.values() if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in (*tensors, batch.image_mask))
