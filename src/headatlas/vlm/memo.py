"""A bounded memo of encoded batches: the same questions are asked again under every condition of a study.

Knows the size in bytes of what it keeps, nothing else of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch


class BatchMemo:
    """Batches by their conversations, least recently used dropped above `max_bytes`."""

    def __init__(self, max_bytes: int = 512 << 20) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, Batch] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Batch]) -> Batch:
        """The batch kept under `key`, or what `make` makes."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        batch = make()
        size = _size(batch)
        if size <= self.max_bytes:
            self._kept[key] = batch
            self._bytes += size
            while self._bytes > self.max_bytes:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        return batch


def _size(batch: Batch) -> int:
    return sum(value.nbytes for value in batch.inputs.values() if isinstance(value, Tensor)) + batch.image_mask.nbytes
