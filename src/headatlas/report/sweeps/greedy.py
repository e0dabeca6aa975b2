"""The greedy sweep: the heads in the order found, and the set judged on other questions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import dots
from headatlas.report.charts.theme import BLUE, GREY, ORANGE
from headatlas.report.figures import one_per_function
from headatlas.report.page import Block, Figure, Note, Swatch
from headatlas.report.sweeps.words import functions_of, points_between, reasons
from headatlas.report.tables import only, records
from headatlas.results.sweep_files import Sweep

CHOOSING = Swatch("While choosing, split S", ORANGE, "diamond")
CHOSEN, AS_MANY = Swatch("Chosen set, split E", BLUE, "circle"), Swatch("As many random heads, split E", GREY, "square")


def greedy_blocks(sweep: Sweep) -> list[Block]:
    """The blocks of the greedy sweep."""
    table = sweep.table[sweep.table["reason"] == ""]
    blocks: list[Block] = []
    if len(table):
        used = tuple(dict.fromkeys(_series(move) for move in table["move"]))

        def draw(part: pd.DataFrame) -> dict[str, Any]:
            before = part["accuracy"] + part["accuracy_drop"]
            frame = pd.DataFrame(
                {
                    "row": [_move(row) for row in records(part)], "series": [_series(move).text for move in part["move"]],
                    "value": 100 * part["accuracy"], "low": 100 * (before - part["high"]), "high": 100 * (before - part["low"]),
                    "k": part["k"], "n": part["n"],
                }
            )  # fmt: skip
            return dots(
                frame, swatches=used, x_title="right answers (%)", rows=list(frame["row"]), domain=(0.0, 100.0), row_height=26,
                tooltip=(("k", "heads removed", ",.0f"), ("n", "steps", ",.0f")),
            )  # fmt: skip

        def label(title: str, part: pd.DataFrame) -> str:
            return f"{title}: accuracy after each head of the greedy search, then that of the chosen set and of random sets."

        blocks += [Note(_one_set(only(table, function=name))) for name in functions_of(table)]
        blocks.append(
            Figure(
                "sweep-greedy",
                one_per_function("sweep-greedy", table, draw, label),
                "Greedy minimal sets: accuracy after each head",
                "The head that costs most is removed next, until 80 % of the damage of all candidates is reached; heads that are "
                "then not needed are put back. The orange dots are exploratory: they are of split S, on which the heads are "
                f"chosen. The set is judged on split {sweep.split}, with its 95 % interval, beside random sets (where 95 % of "
                "them lie).",
                used,
                min_width=330,
            )
        )
    return [*blocks, *reasons(sweep.table, "Minimal set")]


def _series(move: str) -> Swatch:
    return CHOSEN if move.startswith("chosen") else AS_MANY if move.startswith("random") else CHOOSING


def _move(row: Any) -> str:
    if row.move.startswith("chosen"):
        return "the set, split E"
    if row.move.startswith("random"):
        return "random sets, split E"
    return f"{int(row.round)}. {'without' if row.move == 'add' else 'again with'} {row.head}"


def _one_set(part: pd.DataFrame) -> str:
    rows: list[Any] = records(part)
    chosen = next(row for row in rows if row.move.startswith("chosen"))
    random = next((row for row in rows if row.move.startswith("random")), None)
    do = "do" if chosen.k > 1 else "does"
    text = f"{words.group(chosen.function)}: {words.listing(chosen.head.split())} {do} most of the damage. "
    text += f"On split E, without {'them' if chosen.k > 1 else 'it'}, accuracy "
    text += words.becomes(chosen.accuracy + chosen.accuracy_drop, chosen.accuracy)
    span = points_between(chosen.low, chosen.high)
    text += f" ({words.number(100 * chosen.accuracy_drop, 1)} points lost{f', {span}' if span else ''})"
    if random is not None:
        text += (
            f"; random sets ({random.head}) lose {words.number(100 * random.accuracy_drop, 1)} points, p {_p(chosen.p)}"
        )
    return text + f". {words.percent(chosen.unparsable)} of the answers are then unreadable."


def _p(value: float) -> str:
    text = words.p_value(value)
    return text if text.startswith("<") else f"= {text}"
