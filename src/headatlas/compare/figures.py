"""Figures that several sections of a comparison use: marks for each model, and numbers compared with chance."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import dots
from headatlas.report.charts.theme import BLUE, GREEN, GREY, ORANGE, PINK, RED, SHAPES, SKY
from headatlas.report.page import Chart, Figure, Note, Swatch, Table
from headatlas.report.tables import Run, only, records

COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)

MEASURED = Swatch("Between the two models", BLUE)
CHANCE = Swatch("Middle 95 % by chance", GREY, "square")
SAME = Swatch("Same model, other questions", GREEN, "diamond")


def models_of(run: Run) -> list[str]:
    """The models in the order they were given."""
    return list(run.tables["models"]["model"])


def looks(run: Run) -> tuple[Swatch, ...]:
    """A colour and a shape for each model; seven colours and six shapes distinguish 42 models."""
    return tuple(
        Swatch(name, COLORS[i % len(COLORS)], SHAPES[i % len(SHAPES)]) for i, name in enumerate(models_of(run))
    )


def pair_name(a: str, b: str) -> str:
    """Two models as the name of a chart's row."""
    return f"{a} – {b}"


def likeness(run: Run, scorer: str, what: str | list[str]) -> pd.DataFrame:
    """The rows of likeness.csv for one scorer and measure."""
    return only(run.tables["likeness"], scorer=scorer, what=what)


def against_chance(
    name: str, rows: pd.DataFrame, names: list[str], x_title: str, label: str, factor: float = 1.0, title: str = ""
) -> tuple[Chart, tuple[Swatch, ...]]:
    """A chart of each row's number, the middle 95 % by chance as a grey line, and the value between halves of one model.

    Args:
        name: the chart's name.
        rows: rows of likeness.csv.
        names: what the rows of the chart are called, one for each of `rows`.
        x_title: title of the value axis, with its unit.
        label: what a screen reader says.
        factor: what values are multiplied with, such as 100 for per cent.
        title: heading of the chart.

    Returns:
        The chart and its legend.
    """
    base = {"row": names, "p": rows["p"].to_numpy(), "q": rows["q"].to_numpy()}
    measured = pd.DataFrame({**base, "series": MEASURED.text, "value": factor * rows["value"].to_numpy()})
    chance = pd.DataFrame({**base, "series": CHANCE.text, "value": None}).assign(
        low=factor * rows["chance_low"].to_numpy(), high=factor * rows["chance_high"].to_numpy()
    )
    parts, swatches = [measured.assign(low=None, high=None), chance], [MEASURED, CHANCE]
    if rows["same"].notna().any():
        same = pd.DataFrame({**base, "series": SAME.text, "value": factor * rows["same"].to_numpy()})
        parts.append(same.assign(low=None, high=None))
        swatches.append(SAME)
    frame = pd.DataFrame.from_records([record for part in parts for record in part.to_dict("records")])
    spec = dots(
        frame, swatches=tuple(swatches), x_title=x_title, rows=list(dict.fromkeys(names)), zero=True,
        x_format=".2~f" if factor == 1 else "", domain=(-1.0, 1.0) if factor == 1 else None,
        tooltip=(("p", "p", ".3f"), ("q", "q", ".3f")),
    )  # fmt: skip
    return Chart(name, spec, label, title), tuple(swatches)


def likeness_table(
    rows: pd.DataFrame, titles: dict[str, str], in_percent: frozenset[str] = frozenset(), title: str = "All numbers"
) -> Table:
    """Rows of likeness.csv as a folded table.

    Args:
        rows: rows of likeness.csv.
        titles: the measures in words.
        in_percent: measures that are shown as per cent.
        title: heading of the table.
    """

    def text(what: str, value: float) -> str:
        return words.percent(value) if what in in_percent else words.number(value)

    return Table(
        columns=(
            "Measure",
            "Models",
            "Function",
            "Value",
            "95 % by chance",
            "p",
            "q",
            "Same model, other questions",
            "n",
        ),
        rows=tuple(
            (
                titles[row.what],
                pair_name(row.model_a, row.model_b),
                words.group(row.function) if row.function else "All",
                text(row.what, row.value),
                words.interval(text(row.what, row.chance_low), text(row.what, row.chance_high)),
                words.p_value(row.p),
                words.p_value(row.q),
                text(row.what, row.same),
                words.count(row.n),
            )
            for row in records(rows)
        ),
        title=title,
        n_text=3,
        folded=True,
    )


def drawn(figure: Figure, why: str) -> Figure | Note:
    """The figure, or a weak note in its place if no model has anything to draw."""
    return figure if figure.charts else Note(f"{figure.title}: nothing to draw, because {why}", weak=True)


def unknown(rows: pd.DataFrame, why: str) -> tuple[Note, ...]:
    """A weak note that names the pairs of models whose measure is undefined."""
    missing = rows[rows["value"].isna()]
    if missing.empty:
        return ()
    pairs = words.listing(
        [pair_name(row.model_a, row.model_b) for row in records(missing.drop_duplicates(["model_a", "model_b"]))]
    )
    return (Note(f"Nothing to compare for {pairs}, because {why}", weak=True),)
