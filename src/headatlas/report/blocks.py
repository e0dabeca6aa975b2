"""Blocks that several sections use: notes for missing tables, one view per scorer, intervals in words."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.page import Block, Note, PerScorer, Swatch
from headatlas.report.tables import Run, only

SPATIAL_SWATCH = Swatch("Spatial function", BLUE)
OTHER_SWATCH = Swatch("Other function", GREY)


def gap(run: Run, *names: str) -> tuple[Note, ...]:
    """A weak note for those of the tables `names` that have no rows; empty if all have some."""
    why = run.why(*names)
    return (Note(why, weak=True),) if why else ()


def per_scorer(
    run: Run, frame: pd.DataFrame, build: Callable[[str, pd.DataFrame], tuple[Block, ...]], table: str
) -> tuple[Block, ...]:
    """One view for each scorer of the run, switched by the buttons of the page.

    Args:
        run: the run.
        frame: rows with a column `scorer`.
        build: `(scorer, its rows) -> blocks`; not called for a scorer without rows, which gets a note.
        table: the name of the table that `frame` comes from, for the note if it has no rows at all.
    """
    if frame.empty:
        return gap(run, table)
    present = set(frame["scorer"])
    others = words.listing([words.scorer_title(name) for name in all_scorers(run) if name in present])
    no_rows = Note(f"This was done only for heads found by {others}: choose it above to see it.", weak=True)
    views: dict[str, tuple[Block, ...]] = {}
    for name in all_scorers(run):
        rows = only(frame, scorer=name)
        views[name] = build(name, rows) if len(rows) else (no_rows,)
    return (PerScorer(views),)


def all_scorers(run: Run) -> list[str]:
    """Every scorer that scored anything, in the order of the page's buttons."""
    noted = run.tables.get("scorers")
    known = noted is not None and "left_out" in noted  # a comparison does not note it
    left_out = set(noted.loc[noted["left_out"].fillna("") != "", "scorer"]) if noted is not None and known else set()
    named = (name for frame in run.tables.values() if "scorer" in frame.columns for name in frame["scorer"] if name)
    return words.scorers_in_order(name for name in named if name not in left_out)


def headline_selector(run: Run, scorer: str | None = None) -> str:
    """The selector whose heads the page outlines: that of the settings, else of the preset, else the first in the table."""
    frame = run.tables["selection"]
    if scorer is not None:
        frame = only(frame, scorer=scorer)
    present = words.in_order(frame["selector"], words.SELECTORS)
    wanted = [run.settings.get("selector"), "elbow" if run.settings.get("preset") == "paper" else "null"]
    return next((name for name in wanted if name in present), present[0] if present else "null")


def spatial_swatches(frame: pd.DataFrame, functions: pd.Series) -> tuple[pd.DataFrame, tuple[Swatch, ...]]:
    """`frame` with a column `series` (spatial or other function of each row), and the legend for it."""
    series = [SPATIAL_SWATCH.text if name in SPATIAL else OTHER_SWATCH.text for name in functions]
    return frame.assign(series=series), (SPATIAL_SWATCH, OTHER_SWATCH)


def point_interval(low: float, high: float) -> str:
    """Two shares as an interval of percentage points, such as "−1.0 to +2.0"; empty if one is missing."""
    return words.interval(words.points(low), words.points(high))
