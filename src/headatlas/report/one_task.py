"""The report of a study whose questions name no functions: they are one function, this task. What compares functions is left out.

In the tables the task stands under `SPATIAL[0]`, because every step must have a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.report import words
from headatlas.report.page import Note, Section
from headatlas.report.tables import Run

ONE_TASK = "one task"
"""`functions` in the settings.json of such a study."""

COMPARE = ("functions", "counts", "place", "overlap", "agreement", "damage")
"""Sections that compare functions, or scorers of which one is left."""


def is_one_task(run: Run) -> bool:
    """Whether the study's questions do not name their functions."""
    return run.settings.get("functions") == ONE_TASK


def only_the_task(run: Run) -> Run:
    """The run without the rows of the functions that no question has."""
    others = set(FUNCTIONS) - {SPATIAL[0]}
    tables = {}
    for name, table in run.tables.items():
        for column in ("function", "group", "heads_of", "steps_of", "function_a", "function_b", "a", "b"):
            if column in table:
                table = table[~table[column].isin(others)]
        if "group" in table:  # the same steps once more
            table = table[table["group"] != "spatial"]
        tables[name] = table.reset_index(drop=True)
    # All steps are steps of the task, so the rows of all steps would repeat it.
    sweeps = {name: one.without({*others, ""}) for name, one in run.sweeps.done.items()}
    return replace(run, tables=tables, sweeps=replace(run.sweeps, done=sweeps))


def for_the_task(sections: Sequence[Section], run: Run) -> list[Section]:
    """The sections that say something about one task, after one that says what was left out and why."""
    untested = all(claim.get("verdict") == "not testable here" for claim in run.claims)
    silent = (*COMPARE, "claims") if untested else COMPARE
    said = [one for one in sections if one.id not in silent and (one.data or any(b.kind != "note" for b in one.blocks))]
    left_out = [one.short or one.title for one in sections if one not in said]
    notes = [
        Note(
            "The questions do not say which cognitive functions they need, so they are studied as one function: this task. The "
            "study finds the heads that the task depends on and silences them beside as many random heads; it cannot tell what "
            "the heads do. In the tables the task stands as spatial_perception."
        ),
    ]
    if left_out:
        why = "Left out, because it compares functions, needs boxes, or was not run"
        notes.append(Note(f"{why}: {words.listing(left_out)}.", weak=True))
    few = run.settings.get("too_few")
    if isinstance(few, list) and few:
        notes.append(Note(f"There are few pictures. {' '.join(map(str, few))}"))
    about = Section("this-task", "One task", "What a study of questions without functions can tell.", tuple(notes))
    story = [one for one in said if one.id == "story"]
    return [*story, about, *(one for one in said if one not in story)]
