"""The questions of one split, held decoded where they are small enough: every condition reads the same images.

Knows a dataset as something with splits; knows no condition.
"""

from __future__ import annotations

from typing import Any

HOLD = 256 * 2**20
"""Bytes of decoded pictures that are held at most: 600 questions with a picture of 384 x 384."""


class SplitCache:
    """One split of a dataset at a time, as a list of questions, or read anew each time where its pictures exceed `hold` bytes."""

    def __init__(self, data: Any, hold: int = HOLD) -> None:
        self._data, self._hold = data, hold
        self._name: str | None = None
        self._kept: Any = ()

    def questions(self, name: str) -> Any:
        """The questions of split `name`: a list, or the dataset's own sequence, which decodes a question when it is read."""
        if name != self._name:
            self._kept = ()  # before the next one is read: the two need never be there together
            whole = self._data.split(name)
            self._kept = whole if (held := self._decoded(whole)) is None else held
            self._name = name
        return self._kept

    def _decoded(self, whole: Any) -> list[Any] | None:
        held, size = [], 0
        for question in whole:
            size += sum(image.width * image.height * len(image.getbands()) for image in question.images)
            if size > self._hold:
                return None
            held.append(question)
        return held
