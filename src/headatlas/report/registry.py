"""The registry of the report's sections, and the order in which they appear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headatlas.registry import Registry
from headatlas.report.page import Section
from headatlas.report.tables import Run

DEFAULT_ORDER = 125
"""Place of a section that gives no order: after the shipped analyses, before the worked examples (130)."""


@dataclass(frozen=True)
class SectionEntry:
    """A registered section: `build(run)` returns it; sections appear in increasing `order`, ties by name."""

    name: str
    build: Callable[[Run], Section]
    order: int


SECTIONS: Registry[SectionEntry] = Registry("report section", ("headatlas.report.sections.*",), of=SectionEntry)


def section(name: str, *, order: int = DEFAULT_ORDER) -> Callable[[Callable[[Run], Section]], Callable[[Run], Section]]:
    """Register a function `Run -> Section` as a section of every report.

    Args:
        name: unique name; a section registered under the same name before is replaced.
        order: where it stands. The shipped sections: story -10, functions 0, claims 10, maps 30, looking 40, towers 45,
            negative 60, dose 70, activation 80, methods 90, examples 130. In more detail: damage 140, sweeps 145, positive 150,
            counts 160, concentration 170, place 180, overlap 190, agreement 200, task 210, words 220, settings 230, timings 240.
    """

    def register(build: Callable[[Run], Section]) -> Callable[[Run], Section]:
        SECTIONS.add(name, SectionEntry(name, build, order))
        return build

    return register


def build_sections(run: Run, registry: Registry[SectionEntry] = SECTIONS) -> list[Section]:
    """All registered sections of `run`, in order."""
    return [entry.build(run) for entry in sorted(registry.values(), key=lambda entry: (entry.order, entry.name))]
