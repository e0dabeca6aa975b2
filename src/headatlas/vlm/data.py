"""The protocol `Questions`, and helpers that read questions piece by piece."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from headatlas.cogvsr.schema import Question

# Releases memory that the C library holds free; only glibc has it.
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


@runtime_checkable
class Questions(Protocol):
    """A collection of questions with a length that can be iterated more than once: a `CogVSR`, a list, or similar."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def windows(data: Questions, size: int, skip: int = 0) -> Iterator[list[Question]]:
    """Lists of `size` consecutive questions, one list in memory at a time; `skip` leaves out the first lists."""
    items = iter(data)
    if skip and hasattr(data, "__getitem__"):
        items = (data[i] for i in range(min(len(data), skip * size), len(data)))  # type: ignore[index]
    elif skip:
        items = islice(items, skip * size, None)
    while window := list(islice(items, size)):
        yield window
        _release_memory()


def _release_memory() -> None:
    """Return free memory to the operating system (takes 10 ms).

    The C library otherwise keeps memory that it cannot reuse between batches of different sizes: up to 290 MiB after a
    capture of 2,048 questions.
    """
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def fingerprint_of(data: Questions) -> str:
    """Hex digest of a dataset's content: its own `fingerprint`, or one of all questions and their pixels."""
    own = getattr(data, "fingerprint", None)
    if isinstance(own, str):
        return own
    digest = hashlib.blake2b(digest_size=8)
    for question in data:
        digest.update(question.model_dump_json(exclude={"images"}).encode())
        for image in question.images:
            digest.update(repr((image.mode, image.size)).encode() + image.tobytes())
    return digest.hexdigest()


def steps_of(data: Questions) -> list[int]:
    """The number of steps of every question, without decoding images where the dataset allows it."""
    light = data.without_images() if hasattr(data, "without_images") else data  # type: ignore[attr-defined]
    return [len(question.steps) for question in light]
