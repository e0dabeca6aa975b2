"""Drafts, which importers make of records: questions whose images are named but not read, and that have no split yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from headatlas.cogvsr.schema import AnswerType, SceneObject, Split, Step
from headatlas.printing import brief


@dataclass(frozen=True)
class Picture:
    """An image as its record names it. Pictures with the same name are the same image."""

    name: str
    """A path as in the record, relative to some folder, such as `train2017/000000372029.jpg`."""
    url: str = ""
    """Address from which it can be downloaded if no folder has it."""
    read: Callable[[], bytes] | None = None
    """Returns the encoded image if it is part of the table (a Parquet cell, an array) and not a file."""


@dataclass(frozen=True)
class Draft:
    """A question before its images are read."""

    key: str
    """Unique in its set."""
    text: str
    answer: str
    answer_type: AnswerType
    steps: tuple[Step, ...]
    pictures: tuple[Picture, ...] = ()
    options: tuple[str, ...] = ()
    family: str = ""
    """The question type as the set names it (the dataset's column `family`)."""
    group: str = ""
    """Drafts of one group stay in one split, like those that share an image."""
    objects: tuple[SceneObject, ...] = ()
    id: str = ""
    """Id of the question; by default the importer's name and the key."""
    split: Split | Literal[""] = ""
    """The split, if the set names it; else it is dealt."""

    __repr__ = brief


@dataclass(frozen=True)
class LeftOut:
    """A record that was left out, with the reason in one line."""

    key: str
    reason: str

    def __str__(self) -> str:
        line = f"{self.key[:200]}: {self.reason[:400]}"
        # Keys and reasons quote data, so control characters are replaced.
        return "".join(c if c.isprintable() else "\ufffd" for c in line)


class Unusable(Exception):
    """A record cannot become a question. `str(error)` is the reason under which it is listed as left out."""


ODD = (Exception,)
"""What reading one record may raise: `Unusable`, or another error for unforeseen values."""


def left_out(key: str, error: Exception) -> LeftOut:
    """The record whose reading raised `error`, with the reason in one line."""
    reason = " ".join(str(error).split())[:400]
    return LeftOut(
        key, reason if isinstance(error, Unusable) else f"not of the set's form ({type(error).__name__}: {reason})"
    )
