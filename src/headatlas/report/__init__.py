"""The report of one study: reads a run directory, writes one self-contained HTML page and its charts.

A new section is one function, here or in code outside the package:

    from headatlas.report import Note, Section, section

    @section("gaze")
    def gaze_section(run):
        return Section("gaze", "What do the heads look at?", "One sentence of introduction.", (Note("..."),))
"""

from headatlas.report.page import Block, Chart, Figure, Note, PerScorer, Section, Swatch, Table
from headatlas.report.registry import SECTIONS, section
from headatlas.report.render import render_report
from headatlas.report.tables import Run, read_run

__all__ = [
    "SECTIONS",
    "Block",
    "Chart",
    "Figure",
    "Note",
    "PerScorer",
    "Run",
    "Section",
    "Swatch",
    "Table",
    "read_run",
    "render_report",
    "section",
]
