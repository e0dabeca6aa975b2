"""Spatial head activation (SHA): what each change of the input does."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.blocks import gap, point_interval
from headatlas.report.charts import dots, heat
from headatlas.report.charts.theme import BLUE, GREEN, ORANGE, PINK
from headatlas.report.figures import by_order, in_points, one_chart, ramp_to
from headatlas.report.page import Block, Figure, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

HEADLINE = ("spatial", *SPATIAL, "final")
LOOKS = ((BLUE, "circle"), (GREEN, "diamond"), (ORANGE, "square"), (PINK, "triangle-up"))


@section("activation", order=80)
def activation_section(run: Run) -> Section:
    """The gain of every arm over the original image, on spatial steps and on the others."""
    frame = run.tables["activation"]
    blocks: list[Block] = [*gap(run, "activation")]
    if len(frame):
        arms = words.in_order(frame["arm"], words.INPUT_ARMS)
        blocks += _headline(_changed(frame), arms)
        blocks += [_matrix(frame, arms), _table(frame, arms)]
    return Section(
        id="activation",
        title="Can spatial heads be activated through the input?",
        intro="The paper draws boxes around objects and masks the objects, so that the model has to use spatial cues. "
        "Each arm changes only the input. Random boxes, coordinates as text and the image shown twice are the controls.",
        blocks=tuple(blocks),
        short="Activation (SHA)",
    )


def _changed(frame: pd.DataFrame) -> pd.DataFrame:
    return only(frame, arm=[arm for arm in frame["arm"].unique() if arm != "original"])


def _headline(frame: pd.DataFrame, arms: list[str]) -> list[Block]:
    groups = [name for name in HEADLINE if name in set(frame["group"])]
    rows = only(frame, group=groups)
    if rows.empty:
        return []
    swatches = tuple(Swatch(words.group(name), *LOOKS[i % len(LOOKS)]) for i, name in enumerate(groups))
    spec = dots(
        pd.DataFrame(
            {
                "row": [words.plain(arm, words.INPUT_ARMS) for arm in rows["arm"]],
                "series": [words.group(name) for name in rows["group"]],
                **in_points(rows, "gain"),
                "accuracy": 100 * rows["accuracy"],
                "p": rows["p"],
                "n": rows["n"],
            }
        ),
        swatches=swatches,
        x_title="points gained",
        rows=[words.plain(arm, words.INPUT_ARMS) for arm in arms if arm != "original"],
        zero=True,
        tooltip=(("accuracy", "right (%)", ".1f"), ("p", "p", ".3f"), ("n", "n", ",.0f")),
    )
    label = "Points gained over the original image by each arm, on spatial steps and final answers."
    title = "Points gained on spatial steps and final answers"
    caption = "Left of 0: the change made the model worse."
    return [one_chart("activation", spec, label, title, caption, swatches)]


def _matrix(frame: pd.DataFrame, arms: list[str]) -> Figure:
    groups = [name for name in words.functions_in_order(frame["group"]) if name != "spatial"]
    rows = only(_changed(frame), group=groups)
    largest = float(100 * rows["gain"].abs().max()) if len(rows) else 1.0
    largest = largest if largest > 0 else 1.0
    spec = heat(
        pd.DataFrame(
            {
                "row": [words.plain(arm, words.INPUT_ARMS) for arm in rows["arm"]],
                "column": [words.short(name) for name in rows["group"]],
                "value": 100 * rows["gain"],
                "text": [words.points(value, 0) for value in rows["gain"]],
                "exact": [
                    words.with_interval(words.points(g), point_interval(lo, hi))
                    for g, lo, hi in zip(rows["gain"], rows["low"], rows["high"], strict=True)
                ],
                "accuracy": [words.percent(value) for value in rows["accuracy"]],
            }
        ),
        rows=[words.plain(arm, words.INPUT_ARMS) for arm in arms if arm != "original"],
        columns=[words.short(name) for name in groups],
        y_title="",
        x_title="",
        largest=largest,
        tooltip=(("row", " "), ("column", "steps of"), ("exact", "points gained"), ("accuracy", "right")),
    )
    ramp = ramp_to(largest, "points gained: blue is better, orange worse")
    label = "Matrix of points gained by each arm on the steps of each function."
    return one_chart("activation-functions", spec, label, "The same for every function", ramp=ramp)


def _beyond(row: Any) -> str:
    """The paired gain over the arm's control, with its interval and p; a dash for an arm without one."""
    if not row.control:
        return words.MISSING
    span = point_interval(row.beyond_low, row.beyond_high)
    gain = words.with_interval(words.points(row.beyond), span)
    return f"{gain}; p {words.p_value(row.beyond_p)}; {words.plain(row.control, words.INPUT_ARMS).lower()}"


def _table(frame: pd.DataFrame, arms: list[str]) -> Table:
    groups = words.functions_in_order(frame["group"])
    rows = by_order(frame, arm=arms, group=groups)
    columns = (
        "Arm",
        "Steps of",
        "Right",
        "Points gained",
        "95 % interval",
        "p",
        "Gain over its control",
        "Unreadable",
        "n",
    )
    return Table(
        columns=columns,
        rows=tuple(
            (
                words.plain(row.arm, words.INPUT_ARMS),
                words.group(row.group),
                words.percent(row.accuracy),
                words.MISSING if row.arm == "original" else words.points(row.gain),
                "" if row.arm == "original" else point_interval(row.low, row.high),
                words.MISSING if row.arm == "original" else words.p_value(row.p),
                _beyond(row),
                words.percent(row.unparsable),
                words.count(row.n),
            )
            for row in records(rows)
        ),
        title="All numbers",
        n_text=2,
        folded=True,
    )
