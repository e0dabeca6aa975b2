"""The words a newcomer needs to read the comparison: those of a study's report, and a few of its own."""

from __future__ import annotations

from dataclasses import replace

from headatlas.report.page import Section
from headatlas.report.sections.claims import glossary_section
from headatlas.report.tables import Run

OWN = (
    ("Depth", "Where in a model a layer lies: 0 % is its beginning, 100 % its end, however many layers it has."),
    (
        "Rank correlation",
        "Whether two lists put the same things in the same order: 1 the same order, 0 unrelated, −1 reversed.",
    ),
    (
        "Chance",
        "What a number would be if there were nothing to find: computed anew with names or layers dealt at random, many times. "
        "A measured number outside the middle 95 % of these is more than chance.",
    ),
    (
        "One model, other questions",
        "The same measure taken between two halves of one model's own questions: a mark of how large it can be expected to "
        "get. Each half has half the questions, so it errs on the low side.",
    ),
)


def words_section(run: Run) -> Section:
    """The glossary of a study's report with the comparison's own terms behind."""
    known = glossary_section(run)
    return replace(known, data={**known.data, "terms": (*known.data["terms"], *OWN)})
