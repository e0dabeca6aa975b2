"""The registry of importers: every module in `sets/` registers its own with `@importer(name, ...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headatlas.cogvsr.sources import SOURCE_FACTS, SourceFacts
from headatlas.importing.draft import Draft, LeftOut
from headatlas.importing.origin import Origin
from headatlas.registry import Registry

Reader = Callable[[Origin], Iterator[Draft | LeftOut]]


@dataclass(frozen=True)
class Importer:
    """An outside dataset: how it is read, and what its authors allow."""

    name: str
    title: str
    home: str
    """The authors' page: a GitHub repository, a Hugging Face dataset or a paper."""
    licence: str
    shareable: bool
    """Whether questions *and* pictures may be passed on under that licence; False if it is not known."""
    steps: str
    """`derived` from a layout in the set, `given` by its authors, or `one` (the question itself, to be decomposed)."""
    tested_on: str
    """`real files`, or `documented form`: records written after the published description."""
    read: Reader
    files: tuple[str, ...] = ()
    """Patterns of the files to take from the hub; all tables and images if empty."""


IMPORTERS: Registry[Importer] = Registry("importer", ["headatlas.importing.own_files", "headatlas.importing.sets.*"])


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
    """Decorator that registers a function `Origin -> drafts` under the name that `headatlas data import` takes."""

    def register(read: Reader) -> Reader:
        SOURCE_FACTS.add(name, SourceFacts(title, licence, shareable, home, steps))
        IMPORTERS.add(name, Importer(name, title, home, licence, shareable, steps, tested_on, read, files))
        return read

    return register
