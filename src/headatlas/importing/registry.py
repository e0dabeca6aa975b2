"""Which importers there are, by name. Every module in `sources/` registers its own.

Knows what an importer must say of its set (title, licence, whether its pictures may be passed on); knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.origin import Origin
from headatlas.registry import Registry

Reader = Callable[[Origin], Iterator[Draft | LeftOut]]


@dataclass(frozen=True)
class Importer:
    """One outside dataset: how to read it, and what its authors allow."""

    name: str
    title: str
    home: str
    """The authors' page: a GitHub repository, a Hugging Face dataset or a paper."""
    licence: str
    shareable: bool
    """Whether questions *and* pictures may be passed on under that licence. False also if it is not known."""
    steps: str
    """`derived` from a layout that the set gives, `given` by its authors, or `one`: the question itself, to be decomposed."""
    tested_on: str
    """`real files`, or `documented form`: records written after the published description."""
    read: Reader
    files: tuple[str, ...] = ()
    """Patterns of the files to take from a hub; all tables and images if empty."""


IMPORTERS: Registry[Importer] = Registry("importer", ["headatlas.importing.sets.*"])


def importer(
    name: str,
    *,
    title: str,
    home: str,
    licence: str,
    shareable: bool,
    steps: str = "one",
    tested_on: str = "documented form",
    files: tuple[str, ...] = (),
) -> Callable[[Reader], Reader]:
    """Register a reader of drafts under the name that `headatlas data import` takes."""

    def register(read: Reader) -> Reader:
        IMPORTERS.add(name, Importer(name, title, home, licence, shareable, steps, tested_on, read, files))
        return read

    return register


def find_importer(name: str) -> Importer:
    """The importer of that name; an unknown one raises `HeadAtlasError` naming all."""
    return IMPORTERS[name]
