"""The terms that a reader of a comparison needs: those of a study's report, and a few more."""

from __future__ import annotations

from dataclasses import replace

from headatlas.compare.registry import comparison_section
from headatlas.report.page import Section
from headatlas.report.sections.glossary import glossary_section
from headatlas.report.tables import Run

OWN = (
    ("Depth", "Where a layer lies in its model: 0 % is the start, 100 % the end, whatever the number of layers."),
    (
        "Rank correlation",
        "Whether two lists have the same order: 1 the same, 0 unrelated, −1 reversed.",
    ),
    (
        "Chance",
        "What a number would be if there were nothing to find: it is computed many times with names or layers in random "
        "order. A measured number outside the middle 95 % of these is unlikely to be chance.",
    ),
    (
        "Same model, other questions",
        "The same measure between two halves of one model's own questions: about the best value to expect. "
        "Each half has only half the questions, so it is rather too low.",
    ),
)


@comparison_section("words", order=20)
def words_section(run: Run) -> Section:
    """The glossary of a study's report, followed by the comparison's own terms."""
    shared = glossary_section(run)
    return replace(shared, data={**shared.data, "terms": (*shared.data["terms"], *OWN)})
