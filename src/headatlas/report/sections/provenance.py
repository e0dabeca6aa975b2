"""Where the numbers come from: settings, versions, and how long each stage took.

Knows settings.json and timings.json.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.charts import bars
from headatlas.report.charts.theme import BLUE, GREY
from headatlas.report.page import Chart, Figure, Note, Section, Swatch, Table
from headatlas.report.tables import Run, records

RAN, RESUMED = Swatch("Ran in this call", BLUE), Swatch("Taken up from an earlier call", GREY)


def settings_section(run: Run) -> Section:
    """Every setting and version of the run."""
    rows = tuple(flatten(run.settings))
    table = Table(columns=("Setting", "Value"), rows=rows, n_text=2)
    files = Note(
        "Every chart is also saved as SVG and PNG in charts/, and every number as CSV in results/, beside this file."
    )
    return Section(
        id="settings",
        title="Settings and versions",
        intro="What is needed to run the study again and get the same numbers.",
        blocks=(table, files)
        if rows
        else (Note("There are no settings here because settings.json is missing.", weak=True),),
        short="Settings",
    )


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) rows; short lists stay on one line."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in flatten(item, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    if isinstance(value, bool):
        return [(prefix, "yes" if value else "no")]
    return [(prefix, words.MISSING if value is None else str(value))]


def timings_section(run: Run) -> Section:
    """How long each stage took."""
    blocks: tuple[Any, ...] = (Note(run.why("timings"), weak=True),) if not run.timings else (_chart(run.timings),)
    return Section(
        id="timings",
        title="How long each stage took",
        intro="Seconds on the machine that ran the study. A stage that was resumed shows only the time of its last call.",
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
    spec = bars(frame, swatches=(RAN, RESUMED), x_title="seconds", tooltip=(("text", "took"), ("series", " ")))
    label = "Seconds by stage: " + ", ".join(f"{row.row} {row.text}" for row in records(frame))
    swatches = tuple(s for s in (RAN, RESUMED) if s.text in set(frame["series"]))
    return Figure("timings", (Chart("timings", spec, label),), f"{words.seconds(sum(spent))} in all", swatches=swatches)
