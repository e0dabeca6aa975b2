"""How a sweep was measured, in words."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.page import Block, Note
from headatlas.report.tables import records
from headatlas.results.sweep_files import Sweep

SCOPES = {
    "all": "at all tokens",
    "image": "at the picture's tokens",
    "prompt": "at the tokens of the prompt",
    "answer": "where the answer is formed",
    "last": "at the last token of the prompt",
}


def removed(sweep: Sweep) -> str:
    """Where and how heads were removed."""
    how_removed = words.plain(sweep.operation, words.OPERATIONS).lower()
    return f"Measured on split {sweep.split}; heads were {how_removed} {SCOPES.get(sweep.scope, sweep.scope)}."


def how(sweep: Sweep) -> str:
    """Where and how the sweep was measured, whose heads it took, and whether its numbers are exploratory."""
    text = removed(sweep)
    if sweep.scorer:
        which = f"the top {sweep.top} of the ranking" if sweep.top else "those selected"
        text += f" Heads: {which} by {words.scorer_title(sweep.scorer)} on split {sweep.scored_on}."
    if sweep.chosen_here:
        text += " Exploratory: the heads were chosen on the same questions, so the effects look larger than they are."
    return text


def functions_of(table: pd.DataFrame) -> list[str]:
    """The functions of a table, in order."""
    return words.functions_in_order(table["function"])


def points_between(low: float, high: float) -> str:
    """An interval of shares in points, such as "18.6 to 29.2"; empty if one is missing."""
    return words.interval(words.number(100 * low, 1), words.number(100 * high, 1))


def reasons(table: pd.DataFrame, what: str) -> list[Block]:
    """A note for each function that has nothing to measure; `what` is what was to be measured."""
    rows = records(table[table["reason"] != ""])
    return [Note(f"{what}, {words.group(row.function).lower()}: {row.reason.rstrip('.')}.", weak=True) for row in rows]
