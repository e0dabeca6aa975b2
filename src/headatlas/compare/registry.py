"""The registry of the sections on a comparison's page."""

from __future__ import annotations

from collections.abc import Callable

from headatlas.registry import Registry
from headatlas.report.page import Section
from headatlas.report.registry import SectionEntry
from headatlas.report.tables import Run

DEFAULT_ORDER = 90
"""Place of a section that gives no order: at the end."""

COMPARISON_SECTIONS: Registry[SectionEntry] = Registry("comparison section", ("headatlas.compare.sections.*",))


def comparison_section(
    name: str, *, order: int = DEFAULT_ORDER
) -> Callable[[Callable[[Run], Section]], Callable[[Run], Section]]:
    """Register a function `Run -> Section` as a section of every comparison; its `Run` holds the comparison's tables.

    Args:
        name: unique name; a section registered under the same name before is replaced.
        order: where it stands. The shipped sections: claims 0, models 10, words 20, task 30, agreement 40, counts 50, place
            60, functions 70, damage 80.
    """

    def register(build: Callable[[Run], Section]) -> Callable[[Run], Section]:
        COMPARISON_SECTIONS.add(name, SectionEntry(name, build, order))
        return build

    return register
