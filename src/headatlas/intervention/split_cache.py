"""The questions of a split with their pictures decoded, cached while they are small, because every condition reads them."""

from __future__ import annotations

import re
from typing import Any

from cachetools import LRUCache

from headatlas.errors import HeadAtlasError

LIMIT = 256 * 2**20
"""Most bytes of decoded pictures in the cache: 600 questions with a picture of 384 x 384."""


class SplitCache:
    """Splits of a dataset as lists of questions; a split whose pictures exceed `limit` bytes is read again each time."""

    def __init__(self, data: Any, limit: int = LIMIT) -> None:
        self._data, self._limit = data, limit
        self._large: dict[str, Any] = {}  # splits that are not kept decoded
        self._splits: LRUCache[str, list[Any]] = LRUCache(limit, getsizeof=lambda some: sum(map(_size, some)))

    def questions(self, name: str) -> Any:
        """The questions of split `name`: a list, or the dataset's own sequence, which decodes a question when it is read."""
        if name in self._large:
            return self._large[name]
        if name not in self._splits:
            whole = self._data.split(name)
            decoded = self._decoded(whole)
            if decoded is None:
                return self._large.setdefault(name, whole)
            self._splits[name] = decoded
        return self._splits[name]

    def _decoded(self, whole: Any) -> list[Any] | None:
        decoded, size = [], 0
        for question in whole:
            size += _size(question)
            if size > self._limit:
                return None
            decoded.append(question)
        return decoded


def _size(question: Any) -> int:
    """Bytes of a question's decoded pictures."""
    return sum(image.width * image.height * len(image.getbands()) for image in question.images)


def parse_split(split: str) -> tuple[str, int | None]:
    """("E", None) of "E", ("E", 150) of "E[:150]", the first 150 questions of split E.

    Raises:
        HeadAtlasError: it is neither.
    """
    match = re.fullmatch(r"(\w+)(?:\[:(\d+)\])?", split)
    if not match:
        raise HeadAtlasError(f"a split must be a name such as 'E' or a part such as 'E[:150]', got {split!r}")
    return match[1], None if match[2] is None else int(match[2])
