"""The chapters of the report, one small module a group; each is `Run -> Section` and never fails for want of data."""

from __future__ import annotations

from headatlas.report.page import Section
from headatlas.report.sections.activation import activation_section
from headatlas.report.sections.agreement import agreement_section
from headatlas.report.sections.claims import claims_section, glossary_section
from headatlas.report.sections.examples import examples_section
from headatlas.report.sections.heads import counts_section, maps_section, overlap_section, place_section
from headatlas.report.sections.negative import damage_section, dose_section, negative_section
from headatlas.report.sections.positive import positive_section
from headatlas.report.sections.provenance import settings_section, timings_section
from headatlas.report.sections.task import task_section
from headatlas.report.tables import Run

ORDER = (
    claims_section,
    glossary_section,
    task_section,
    maps_section,
    counts_section,
    place_section,
    overlap_section,
    agreement_section,
    negative_section,
    damage_section,
    dose_section,
    positive_section,
    activation_section,
    examples_section,
    settings_section,
    timings_section,
)


FIRST_BY_SCORER = "maps"
"""The section from which on the scorer switch matters."""


def build_sections(run: Run) -> list[Section]:
    """All chapters, in the order they are read."""
    return [section(run) for section in ORDER]


__all__ = [
    "FIRST_BY_SCORER",
    "ORDER",
    "activation_section",
    "agreement_section",
    "build_sections",
    "claims_section",
    "counts_section",
    "damage_section",
    "dose_section",
    "examples_section",
    "glossary_section",
    "maps_section",
    "negative_section",
    "overlap_section",
    "place_section",
    "positive_section",
    "settings_section",
    "task_section",
    "timings_section",
]
