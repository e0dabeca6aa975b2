"""Render `OUT/comparison/*.csv` as `OUT/report.html`, a self-contained page."""

from __future__ import annotations

from pathlib import Path

from altair.utils.schemapi import debug_mode

from headatlas.compare.figures import models_of
from headatlas.compare.opening import opening
from headatlas.compare.registry import COMPARISON_SECTIONS
from headatlas.compare.tables import FOLDER, read_comparison
from headatlas.report import words
from headatlas.report.blocks import all_scorers
from headatlas.report.one_task import COMPARE, ONE_TASK, only_the_task
from headatlas.report.page import Page
from headatlas.report.registry import build_sections
from headatlas.report.render import write_page
from headatlas.report.tables import Run


def render_comparison(out: str | Path) -> Path:
    """Write `report.html` and `comparison/charts/` from the tables in `out/comparison/`; return the path of report.html.

    Raises:
        HeadAtlasError: there is no comparison in `out`, or one of its tables is damaged.
    """
    run = read_comparison(Path(out))
    return write_page(comparison_page(run), run.path)


def comparison_page(run: Run) -> Page:
    """The page of a comparison, as plain records."""
    one_task = bool((run.tables["models"]["functions"] == ONE_TASK).all())
    with words.scorer_names(run.tables["scorer_names"]), words.one_task(one_task):
        return _one_task(_page(only_the_task(run))) if one_task else _page(run)


def _one_task(page: Page) -> Page:
    """The page of studies whose questions name no functions: without what compares functions."""
    page.title = page.title.replace("The spatial heads of", "The heads for one task of", 1)
    page.summary = [
        "The questions name no cognitive functions, so they are one function: this task. What compares functions is left out.",
        *page.summary,
    ]
    page.sections = [one for one in page.sections if one.id not in COMPARE]
    return page


def _page(run: Run) -> Page:
    with debug_mode(False):  # as in report/render.py: altair's checks take 90 % of the time
        sections = build_sections(run, COMPARISON_SECTIONS)
    models, table, differences = models_of(run), run.tables["models"], run.tables["differences"]
    names = words.listing(models) if len(models) <= 4 else f"{len(models)} models"
    smallest, largest = (words.count(n) for n in (table["total"].min(), table["total"].max()))
    return Page(
        title=f"The spatial heads of {names}",
        subtitle="A HeadAtlas comparison: what holds for the attention heads of several vision-language models, and what holds "
        "for only one of them?",
        facts=[
            ("Models", str(len(models))),
            ("Heads", smallest if smallest == largest else f"{smallest} to {largest}"),
            ("Ways of finding heads", str(len(all_scorers(run)))),
            ("Same questions", "no" if "data.fingerprint" in set(differences["setting"]) else "yes"),
            ("Same settings", "no, see “The models”" if len(differences) else "yes"),
        ],
        summary=opening(run),
        sections=sections,
        scorers=[(name, words.scorer(name)) for name in all_scorers(run)],
        charts=f"{FOLDER}/charts",
    )
