"""From `OUT/comparison/*.csv` to `OUT/report.html`, a file that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from altair.utils.schemapi import debug_mode

from headatlas.compare.report.agreement import agreement_section
from headatlas.compare.report.claims import claims_section
from headatlas.compare.report.common import models_of
from headatlas.compare.report.counts import counts_section
from headatlas.compare.report.damage import damage_section
from headatlas.compare.report.functions import functions_section
from headatlas.compare.report.models import models_section
from headatlas.compare.report.place import place_section
from headatlas.compare.report.read import FOLDER, read_comparison
from headatlas.compare.report.summary import summarise
from headatlas.compare.report.task import task_section
from headatlas.compare.report.words_used import words_section
from headatlas.report import words
from headatlas.report.page import Page
from headatlas.report.render import write_page
from headatlas.report.sections.common import all_scorers
from headatlas.report.tables import Run

ORDER = (
    claims_section,
    models_section,
    words_section,
    task_section,
    agreement_section,
    counts_section,
    place_section,
    functions_section,
    damage_section,
)
FIRST_BY_SCORER = "counts"


def render_comparison(out: str | Path) -> Path:
    """Write `report.html` and `comparison/charts/` from the tables in `out/comparison/`; returns the path of report.html.

    Raises:
        HeadAtlasError: There is no comparison in `out`.
    """
    run = read_comparison(Path(out))
    return write_page(build_page(run), run.path)


def build_page(run: Run) -> Page:
    """The whole page as plain records."""
    with debug_mode(False):  # as in render.py: altair's checks take nine tenths of the time
        sections = [section(run) for section in ORDER]
    models = models_of(run)
    table = run.tables["models"]
    total = f"{words.count(table['total'].min())} to {words.count(table['total'].max())}"
    return Page(
        title=f"The spatial heads of {words.listing(models)}"
        if len(models) <= 4
        else f"The spatial heads of {len(models)} models",
        subtitle="A HeadAtlas comparison: what holds for the attention heads of several vision-language models, and what only "
        "for one of them?",
        facts=[
            ("Models", str(len(models))),
            ("Heads", words.count(table["total"].max()) if table["total"].nunique() == 1 else total),
            ("Ways of finding heads", str(len(all_scorers(run)))),
            ("Same questions", "no" if "data.fingerprint" in set(run.tables["differences"]["setting"]) else "yes"),
            ("Same settings", "no: see The models" if len(run.tables["differences"]) else "yes"),
        ],
        summary=summarise(run),
        sections=sections,
        scorers=[(name, words.scorer(name)) for name in all_scorers(run)],
        switch_before=FIRST_BY_SCORER,
        charts=f"{FOLDER}/charts",
    )
