"""Settings, versions, and the time that each stage took."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import bars
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.page import Block, Chart, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, records

RAN, RESUMED = Swatch("Ran in one call", BLUE), Swatch("Resumed from an earlier call", GREY)


@section("settings", order=230)
def settings_section(run: Run) -> Section:
    """Every setting and version of the run."""
    rows = tuple(flatten(run.settings))
    table = Table(columns=("Setting", "Value"), rows=rows, title="All settings", n_text=2, folded=True)
    files = Note(
        "Every chart is also in charts/ as SVG and PNG, and every number in results/ as CSV, next to this file."
    )
    missing = Note("There are no settings here because settings.json is missing.", weak=True)
    return Section(
        id="settings",
        title="Settings and versions",
        intro="What is needed to repeat the study and get the same numbers.",
        blocks=(table, files) if rows else (missing,),
        short="Settings",
    )


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) rows; lists stay on one line."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in flatten(item, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    if isinstance(value, bool):
        return [(prefix, "yes" if value else "no")]
    return [(prefix, words.MISSING if value is None else str(value))]


@section("timings", order=240)
def timings_section(run: Run) -> Section:
    """The time each stage took."""
    blocks: tuple[Block, ...] = (_chart(run.timings),) if run.timings else (Note(run.why("timings"), weak=True),)
    return Section(
        id="timings",
        title="How long each stage took",
        intro="Time on the machine that ran the study. For a resumed stage, only the time of its last call is known.",
        blocks=blocks,
        short="Time",
    )


def _chart(timings: list[dict[str, Any]]) -> Figure:
    spent = [float(t["seconds"]) if words.known(t.get("seconds")) else 0.0 for t in timings]
    frame = pd.DataFrame(
        {
            "row": [words.plain(str(t.get("stage", ""))) for t in timings],
            "value": spent,
            "text": [words.seconds(s) for s in spent],
            "series": [RESUMED.text if t.get("resumed") else RAN.text for t in timings],
        }
    )
    spec = bars(frame, swatches=(RAN, RESUMED), x_title="seconds", tooltip=(("text", "time"), ("series", " ")))
    label = "Seconds by stage: " + ", ".join(f"{row.row} {row.text}" for row in records(frame))
    swatches = tuple(s for s in (RAN, RESUMED) if s.text in set(frame["series"]))
    return Figure(
        "timings", (Chart("timings", spec, label),), f"{words.seconds(sum(spent))} in total", swatches=swatches
    )
