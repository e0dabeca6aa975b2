"""What an importer makes of a record: a question whose images are only named and whose split is not yet dealt.

Knows the schema; knows nothing of files, networks or formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headatlas.cogvsr.schema import AnswerType, SceneObject, Step


@dataclass(frozen=True)
class Picture:
    """An image as its record names it. `name` also tells which questions share it."""

    name: str
    """A path as in the record, relative to some folder, such as `train2017/000000372029.jpg`."""
    url: str = ""
    """Where it can be had if no folder has it."""
    read: Callable[[], bytes] | None = None
    """Gives the encoded image if it lies in the record itself (a Parquet cell, an array) and not in a file."""


@dataclass(frozen=True)
class Draft:
    """A question in the making. `key` is unique in its set; `group` names what must stay in one split beside the images."""

    key: str
    text: str
    answer: str
    answer_type: AnswerType
    steps: tuple[Step, ...]
    pictures: tuple[Picture, ...] = ()
    options: tuple[str, ...] = ()
    family: str = ""
    group: str = ""
    objects: tuple[SceneObject, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A record that no question was made of, and why, in one line."""

    key: str
    reason: str

    def __str__(self) -> str:
        line = f"{self.key}: {self.reason}"
        # Keys and reasons quote data, which must not steer a terminal.
        return "".join(c if c.isprintable() else "\ufffd" for c in line)


class Unusable(Exception):
    """A record that cannot become a question; `str(error)` is the reason, which is listed. Never reaches a user as an error."""


ODD = (Unusable, TypeError, ValueError, KeyError, IndexError, AttributeError)
"""What reading one record may end in: a reason, or values of kinds that nobody foresaw."""


def left_out(key: str, error: Exception) -> LeftOut:
    """A record that ended in one of `ODD`, with the reason in one line."""
    said = " ".join(str(error).split())[:200]
    return LeftOut(
        key, said if isinstance(error, Unusable) else f"not of the set's form ({type(error).__name__}: {said})"
    )
