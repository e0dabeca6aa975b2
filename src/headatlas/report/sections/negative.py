"""Silencing heads: the loss against random heads, the damage matrix, the dose curves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import per_scorer, point_interval
from headatlas.report.charts import dots, lines
from headatlas.report.charts.theme import BLUE, GREY, ORANGE
from headatlas.report.figures import SMALL, by_order, in_points, legend, matrix_chart, one_per_function, ramp_to
from headatlas.report.page import Block, Chart, Figure, Note, Ramp, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

SELECTED = Swatch("Selected heads", BLUE, "circle")
RANDOM = Swatch("As many random heads", GREY, "square")
SET_LOOKS = {"selected": (BLUE, "circle"), "random": (GREY, "square"), "least": (ORANGE, "diamond")}


@section("negative", order=60)
def negative_section(run: Run) -> Section:
    """The loss when a function's heads are silenced, against random heads."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        rows, notes = silenced(rows, "function")
        if rows.empty:
            return notes
        # One dot for each function: where several k were tried, the largest. The table below has all of them.
        largest = rows.loc[rows.groupby(["operation", "function"])["k"].idxmax()]
        ends = 100 * largest[["low", "high", "random_low", "random_high", "drop"]]
        domain = (min(float(ends.min().min()), 0.0) - 1, float(ends.max().max()) + 1)
        operations = words.in_order(rows["operation"], words.OPERATIONS)
        charts = [_losses(only(largest, operation=name), scorer, name, domain) for name in operations]
        several = len(largest) < len(rows)
        return (
            Figure(
                f"negative-{scorer}",
                tuple(charts),
                f"Points lost on a function's own steps: {words.scorer(scorer)}",
                "Right of 0: the model became worse. The grey line covers 95 % of the random sets."
                + (" Where several numbers of heads were tried, the largest is drawn." if several else ""),
                (SELECTED, RANDOM),
                min_width=290 if len(charts) > 1 else 0,
            ),
            _table(rows),
            *notes,
        )

    return Section(
        id="negative",
        title="What breaks when a function's heads are silenced?",
        intro="If the heads are needed for a function, silencing them costs the model that function, and silencing as many "
        "random heads does not.",
        blocks=per_scorer(run, run.tables["negative"], view, "negative"),
        short="Silencing heads",
    )


def silenced(rows: pd.DataFrame, column: str) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows in which a head was silenced, and a note on the functions of `column` without heads, whose 0 is no result."""
    kept = rows[rows["k"] > 0]
    missing = [
        words.group(name).lower() for name in words.functions_in_order(rows[column]) if name not in set(kept[column])
    ]
    if not missing:
        return kept, ()
    if kept.empty:
        return kept, (Note("No head was selected, so none was silenced.", weak=True),)
    return kept, (Note(f"Left out, because no head was selected: {words.listing(missing)}.", weak=True),)


def _losses(part: pd.DataFrame, scorer: str, operation: str, domain: tuple[float, float]) -> Chart:
    common = {
        "row": [words.short(name) for name in part["function"]],
        "k": part["k"],
        "p": part["p"],
        "unparsable": 100 * part["unparsable_after"],
        "n": part["n"],
    }
    frames = [
        pd.DataFrame({**common, "series": SELECTED.text, **in_points(part, "drop")}),
        pd.DataFrame({**common, "series": RANDOM.text, **in_points(part, "random_drop", "random_low", "random_high")}),
    ]
    spec = dots(
        pd.concat(frames, ignore_index=True),
        swatches=(SELECTED, RANDOM),
        x_title="points lost",
        rows=[words.short(name) for name in words.functions_in_order(part["function"])],
        zero=True,
        domain=domain if all(map(words.known, domain)) else None,
        tooltip=(
            ("k", "heads silenced", ",.0f"),
            ("p", "p against random heads", ".3f"),
            ("unparsable", "unreadable answers after (%)", ".1f"),
            ("n", "n", ",.0f"),
        ),
    )
    title = words.plain(operation, words.OPERATIONS)
    label = f"{title}: points lost by selected and by random heads, for each function."
    return Chart(f"negative-{scorer}-{operation}", spec, label, title)


def _table(rows: pd.DataFrame) -> Table:
    rows = by_order(rows, function=words.functions_in_order(rows["function"]), operation=None, k=None)
    columns = (
        "Function", "How", "Heads", "Before", "After", "Points lost", "95 % interval", "Random heads", "p", "q",
        "McNemar p", "Unreadable before", "Unreadable after", "n",
    )  # fmt: skip
    return Table(
        columns=columns,
        rows=tuple(
            (
                words.group(row.function),
                words.plain(row.operation, words.OPERATIONS),
                words.count(row.k),
                words.percent(row.before),
                words.percent(row.after),
                words.points(row.drop),
                point_interval(row.low, row.high),
                _random(row),
                words.p_value(row.p),
                words.p_value(row.q),
                words.p_value(row.p_mcnemar),
                words.percent(row.unparsable_before),
                words.percent(row.unparsable_after),
                words.count(row.n),
            )
            for row in records(rows)
        ),
        title="All numbers",
        n_text=2,
        folded=True,
    )


def _random(row: Any) -> str:
    """The mean loss of the random sets, with their middle 95 % and number."""
    span = point_interval(row.random_low, row.random_high)
    sets = f"{words.count(row.n_random)} sets"
    return f"{words.points(row.random_drop)} ({f'{span}; ' if span else ''}{sets})"


@section("damage", order=140)
def damage_section(run: Run) -> Section:
    """The 8 x 8 matrix: heads of one function, steps of another."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        rows, notes = silenced(rows, "heads_of")
        if rows.empty:
            return notes
        largest = 100 * float(rows["drop"].abs().max())
        name = f"damage-{scorer}"
        label = "Matrix of points lost on the steps of each function when the heads of each are silenced."
        chart = damage_chart(name, rows, largest, label)
        figure = Figure(name, (chart,), f"Damage: {words.scorer(scorer)}", ramp=damage_ramp(largest))
        return (figure, *_specificity(rows), *notes)

    return Section(
        id="damage",
        part="In more detail",
        title="Is the damage specific?",
        intro="Each row silences the heads of one function. Each column shows the cost for the steps of a function. If heads "
        "served one function only, only the diagonal would be dark.",
        blocks=per_scorer(run, run.tables["damage"], view, "damage"),
        short="Damage matrix",
    )


def damage_chart(name: str, rows: pd.DataFrame, largest: float, label: str, title: str = "") -> Chart:
    """Rows of damage.csv as a matrix, heads silenced by steps; `largest` ends the colour scale, in points."""
    cells = pd.DataFrame(
        {
            "row": [words.short(name) for name in rows["heads_of"]],
            "column": [words.short(name) for name in rows["steps_of"]],
            "value": 100 * rows["drop"],
            "text": [words.number(100 * value, 0) for value in rows["drop"]],
            "pair": [
                f"heads of {words.group(a)}, steps of {words.group(b)}"
                for a, b in zip(rows["heads_of"], rows["steps_of"], strict=True)
            ],
            "exact": [
                words.with_interval(words.points(d), point_interval(low, high))
                for d, low, high in zip(rows["drop"], rows["low"], rows["high"], strict=True)
            ],
            "k": [words.count(k) for k in rows["k"]],
            "n": [words.count(n) for n in rows["n"]],
        }
    )
    return matrix_chart(
        name, cells, label, rows=words.functions_in_order(rows["heads_of"]), largest=largest, title=title,
        columns=words.functions_in_order(rows["steps_of"]), y_title="heads silenced", x_title="points lost on steps of",
        tooltip=(("pair", " "), ("exact", "points lost"), ("k", "heads"), ("n", "n")),
    )  # fmt: skip


def damage_ramp(largest: float) -> Ramp:
    """The legend of a damage matrix."""
    return ramp_to(largest, "points lost: blue is damage, orange is improvement")


def _specificity(rows: pd.DataFrame) -> tuple[Note, ...]:
    same = rows["heads_of"] == rows["steps_of"]
    own, other = rows["drop"].where(same).dropna(), rows["drop"].where(~same).dropna()
    if own.empty or other.empty:
        return ()
    difference = own.mean() - other.mean()
    return (
        Note(
            f"Mean points lost when a function's heads are silenced: {words.number(100 * own.mean(), 1)} on its own steps, "
            f"{words.number(100 * other.mean(), 1)} on the steps of other functions "
            f"(specificity: {words.points(difference)} points)."
        ),
    )


@section("dose", order=70)
def dose_section(run: Run) -> Section:
    """Accuracy against the number of silenced heads."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        swatches = legend(rows["set"], words.SETS, SET_LOOKS)

        def draw(part: pd.DataFrame) -> dict[str, Any]:
            part = part.sort_values("k")
            frame = part[["low", "high"]].assign(
                x=part["k"], series=[words.plain(s, words.SETS) for s in part["set"]], value=part["accuracy"]
            )
            ticks = sorted({float(k) for k in part["k"]}) if part["k"].nunique() <= 8 else None
            return lines(
                frame, swatches=swatches, x_title="heads silenced", y_title="", y_domain=(0.0, 1.0), ticks=ticks
            )

        def label(title: str, part: pd.DataFrame) -> str:
            return f"{title}: accuracy against the number of silenced heads."

        name = f"dose-{scorer}"
        title = f"Right answers as more heads are silenced: {words.scorer(scorer)}"
        charts = one_per_function(name, rows, draw, label)
        return (Figure(name, charts, title, swatches=swatches, min_width=SMALL),)

    return Section(
        id="dose",
        title="How does the damage grow?",
        intro="Heads are silenced one after the other, highest score first. With a good scorer the curve falls early, and well "
        "below that of random heads. Bands are 95 % intervals.",
        blocks=per_scorer(run, run.tables["dose"], view, "dose"),
        short="Dose curves",
    )
