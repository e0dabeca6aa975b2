"""The sweep of pairs: what two heads cost beyond the sum of each alone."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import dots, heat
from headatlas.report.charts.theme import BLUE
from headatlas.report.figures import one_per_function, ramp_to
from headatlas.report.page import Block, Figure, Note, Swatch, Table
from headatlas.report.sweeps.words import functions_of, how, reasons
from headatlas.report.tables import only, records
from headatlas.results.sweep_files import Sweep

MOST_IN_MATRIX = 12
"""Heads of which all pairs are drawn as a matrix; of more, the pairs that depart most from the sum."""

PAIR = Swatch("Both, beyond the sum of each alone", BLUE, "diamond")


def pairs_blocks(sweep: Sweep) -> list[Block]:
    """The blocks of the sweep of pairs."""
    blocks: list[Block] = []
    table = sweep.table[sweep.table["reason"] == ""]
    if len(table):
        largest = float(table["interaction"].abs().max())
        small = all(len(_names(part)) <= MOST_IN_MATRIX for _, part in table.groupby("function"))

        def draw(part: pd.DataFrame) -> dict[str, Any]:
            return _matrix(part, largest) if small else _top_pairs(part)

        def label(title: str, part: pd.DataFrame) -> str:
            return f"{title}: nats lost without both heads of a pair, beyond the sum of each alone."

        blocks += [Note(_one_pair(only(table, function=name))) for name in functions_of(table)]
        blocks.append(
            Figure(
                "sweep-pairs",
                one_per_function("sweep-pairs", table, draw, label),
                "Pairs of heads: what both cost beyond the sum of each alone",
                "Joint loss minus the two single losses, in nats of the right answer's log-probability. Above 0, the two stand "
                f"in for each other; below 0, each needs the other. {how(sweep)}",
                () if small else (PAIR,),
                ramp_to(largest, "nats: blue pairs stand in for each other", digits=2) if small else None,
                min_width=330,
            )
        )
        blocks.append(_pair_table(table))
    return [*blocks, *reasons(sweep.table, "Pairs")]


def _names(part: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([*part["head_a"], *part["head_b"]]))


def _matrix(part: pd.DataFrame, largest: float) -> dict[str, Any]:
    cells = [
        {
            "row": b, "column": a, "value": row.interaction, "text": words.number(row.interaction, 2), "pair": f"{a} and {b}",
            "both": words.number(row.drop_both, 2), "alone": f"{words.number(row.drop_a, 2)} and {words.number(row.drop_b, 2)}",
            "span": words.interval(words.number(row.low, 2), words.number(row.high, 2)),
        }
        for row in records(part)
        for a, b in [(row.head_a, row.head_b)]
    ]  # fmt: skip
    names = _names(part)
    return heat(
        pd.DataFrame(cells), rows=names[1:], columns=names[:-1], y_title="", x_title="", largest=largest,
        tooltip=(("pair", " "), ("text", "beyond the sum, nats"), ("span", "95 % interval"), ("both", "lost without both"),
                 ("alone", "lost without each")),
    )  # fmt: skip


def _top_pairs(part: pd.DataFrame) -> dict[str, Any]:
    part = part.loc[part["interaction"].abs().nlargest(MOST_IN_MATRIX).index].sort_values(
        "interaction", ascending=False
    )
    frame = pd.DataFrame(
        {
            "row": part["head_a"] + " " + part["head_b"], "series": PAIR.text, "value": part["interaction"], "low": part["low"],
            "high": part["high"], "both": part["drop_both"],
        }
    )  # fmt: skip
    return dots(
        frame, swatches=(PAIR,), x_title="nats beyond the sum", rows=list(frame["row"]), zero=True, x_format=".2f",
        tooltip=(("both", "nats lost without both", ".2f"),), row_height=24,
    )  # fmt: skip


def _one_pair(part: pd.DataFrame) -> str:
    title, n = words.group(part["function"].iloc[0]), words.count(len(part))
    clear = part[(part["low"] > 0) | (part["high"] < 0)]
    if clear.empty:
        return f"{title}: none of the {n} pairs costs clearly more or less than its two heads in sum."
    best: Any = next(clear.loc[clear["interaction"].abs().nlargest(1).index].itertuples())
    more = "more" if best.interaction > 0 else "less"
    what = "each does part of the other's work" if best.interaction > 0 else "without one, the other hardly matters"
    span = words.interval(words.number(best.low, 2), words.number(best.high, 2))
    return (
        f"{title}: without {best.head_a} and {best.head_b} the right answer loses {words.number(best.drop_both, 2)} nats, "
        f"{words.with_interval(words.number(abs(best.interaction), 2), f'difference {span}')} {more} than the two alone in sum: "
        f"{what}. The interval excludes 0 for {words.count(len(clear))} of {n} pairs; a few do so by chance."
    )


def _pair_table(table: pd.DataFrame) -> Table:
    ordered = table.loc[table["interaction"].abs().sort_values(ascending=False, kind="stable").index].head(20)
    columns = (
        "Function",
        "Pair",
        "Without both",
        "First alone",
        "Second alone",
        "Beyond the sum",
        "95 % interval",
        "Points lost",
        "n",
    )
    return Table(
        columns=columns,
        rows=tuple(
            (
                words.group(row.function), f"{row.head_a} {row.head_b}", words.number(row.drop_both, 2),
                words.number(row.drop_a, 2), words.number(row.drop_b, 2), words.signed(row.interaction, 2),
                words.interval(words.number(row.low, 2), words.number(row.high, 2)), words.points(row.accuracy_drop),
                words.count(row.n),
            )
            for row in records(ordered)
        ),
        title="The pairs that depart most from the sum",
        caption="Losses in nats of the right answer's log-probability. Points lost: accuracy without both.",
        n_text=2,
        folded=True,
    )  # fmt: skip
