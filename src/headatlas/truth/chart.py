"""The charts of a grading: how many planted heads each scorer finds, and how much it selects where no head has a function."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from headatlas.report.charts.dots import dots
from headatlas.report.charts.theme import BLUE, ORANGE, RED, SKY
from headatlas.report.export import save_figures
from headatlas.report.page import Chart, Figure, Swatch
from headatlas.scoring import SCORERS
from headatlas.truth.grade import NULLS, summary

FOUND = {
    "precision_at": Swatch("precision at |S|", BLUE, "circle"),
    "auprc": Swatch("AUPRC", SKY, "diamond"),
    "f1": Swatch("F1 of the selected set", ORANGE, "square"),
}
"""What is shown of planted worlds, all in 0..1."""

FALSE = dict(
    zip(
        (f"false_{kind}" for kind in NULLS),
        (Swatch("untrained twin", RED, "triangle-up"), Swatch("exchanged labels", ORANGE, "square")),
        strict=True,
    )
)
"""What is shown of null worlds: the share of all heads x functions that is selected."""


def grading_figures(grades: pd.DataFrame, selector: str = "functional") -> list[Figure]:
    """Figures `grading` and `grading_null` of the rows of `grade`; one row per scorer, highest precision at |S| first.

    Args:
        grades: as `grade_case` returns them, of all cases.
        selector: the selector whose sets are shown; scorers whose sets are not graded have only their ranking.

    Returns:
        The figures for which there is a value.
    """
    table = summary(grades[grades["selector"].isin((selector, ""))])
    if "precision_at" in table:
        table = table.sort_values("precision_at", ascending=False, kind="stable")
    out = []
    for name, title, swatches, unit in (
        ("grading", "Planted heads found", FOUND, "0..1, higher is better"),
        (
            "grading_null",
            "Selected although no head has a function",
            FALSE,
            "share of all heads x functions, lower is better",
        ),
    ):
        frame = _rows(table, swatches)
        if len(frame):
            spec = dots(
                frame, swatches=tuple(swatches.values()), x_title=unit, rows=list(dict.fromkeys(frame["row"])),
                x_format=".2f", domain=(0.0, 1.0) if swatches is FOUND else None, zero=swatches is FALSE,
            )  # fmt: skip
            chart = Chart(name, spec, f"{title}, by scorer")
            out.append(Figure(name, (chart,), title, swatches=tuple(swatches.values())))
    return out


def save_grading_charts(grades: pd.DataFrame, folder: Path, selector: str = "functional") -> list[Path]:
    """Write every figure of `grading_figures` as SVG and PNG to `folder`; return their paths."""
    return save_figures(grading_figures(grades, selector), folder)


def _rows(table: pd.DataFrame, swatches: dict[str, Swatch]) -> pd.DataFrame:
    """The frame that `dots` takes: row, series, value, low, high; without values that were not measured."""
    rows = []
    for _, row in table.iterrows():
        for key, swatch in swatches.items():
            low, high = (row.get(f"precision_{end}") if key == "precision_at" else None for end in ("low", "high"))
            rows.append((SCORERS[row["scorer"]].label, swatch.text, row.get(key), low, high))
    frame = pd.DataFrame(rows, columns=["row", "series", "value", "low", "high"])
    return frame.astype({"value": float, "low": float, "high": float}).dropna(subset=["value"])
