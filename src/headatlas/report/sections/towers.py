"""The heads of the vision tower, of cross-attention and of connectors beside those of the language model."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.charts import head_map
from headatlas.report.charts.maps import CELLS_AS_SVG
from headatlas.report.charts.theme import INK
from headatlas.report.figures import SMALL, ramp_to
from headatlas.report.page import Block, Chart, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

TITLES = {"L": "Language model", "V": "Vision tower", "X": "Cross-attention", "C": "Connector"}


@section("towers", order=45)
def towers_section(run: Run) -> Section:
    """Maps of single ablation, tower beside tower, and what the selected heads of each cost together."""
    rows = run.tables["towers"]
    blocks: list[Block] = []
    if len(rows):
        for function in [name for name in words.functions_in_order(rows["function"]) if name in SPATIAL]:
            blocks.append(_maps(function, only(rows, function=function)))
        blocks.append(_sets(run.tables["tower_sets"]))
    else:
        asked = run.settings.get("towers") or ["L"]
        only_l = Note("Only the language model was studied; add the others with --tower all.", weak=True)
        blocks += [only_l] if asked == ["L"] else gap(run, "towers")
    return Section(
        id="towers",
        title="Do the other towers have such heads?",
        intro="The heads of the vision tower see the picture alone, before any word. A head there that matters "
        "more to a function than to the others helps to prepare what that function reads.",
        blocks=tuple(blocks),
        short="Other towers",
    )


def _maps(function: str, rows: pd.DataFrame) -> Figure:
    largest = max(1e-6, float(rows["loss"].abs().max()))
    charts = []
    for tower in [name for name in TITLES if name in set(rows["tower"])]:
        cells = only(rows, tower=tower)
        shape = (int(cells["layer"].max()) + 1, int(cells["head"].max()) + 1)
        spec = head_map(cells.assign(value=cells["loss"]), shape=shape, largest=largest, tower=tower)
        chosen = [f"{tower}{row.layer}.H{row.head}" for row in records(cells) if row.selected]
        label = f"{TITLES[tower]}: loss of {words.group(function)} for {len(cells)} heads. Selected: " + (
            ", ".join(chosen) if 0 < len(chosen) <= 20 else f"{len(chosen)} heads" if chosen else "none"
        )
        renderer = "canvas" if len(cells) > CELLS_AS_SVG else "svg"
        charts.append(Chart(f"towers-{function}-{tower}", spec, label, f"{TITLES[tower]} ({len(chosen)})", renderer))
    return Figure(
        name=f"towers-{function}",
        charts=tuple(charts),
        title=f"Loss of {words.group(function).lower()} when one head alone is ablated",
        caption="One colour scale for all towers. Outlined: heads whose loss is specific to the function. In brackets: their "
        "number.",
        ramp=ramp_to(largest, "nats lost without the head: blue helps the function, orange works against it", digits=2),
        swatches=(Swatch("Selected head", INK, "outline"),),
        min_width=SMALL,
    )


def _sets(rows: pd.DataFrame) -> Table:
    return Table(
        columns=(
            "Tower",
            "Function",
            "Heads",
            "Which",
            "Drop",
            "Random",
            "Beyond",
            "95 % interval",
            "Specific",
            "Unreadable",
            "p",
        ),
        rows=tuple(
            (
                TITLES[str(row.tower)],
                words.group(row.function),
                words.count(row.k),
                str(row.heads or words.MISSING),
                words.points(row.drop),
                words.points(row.random_drop),
                words.points(row.beyond),
                words.interval(words.points(row.beyond_low), words.points(row.beyond_high)),
                words.points(row.specific),
                words.percent(row.unparsable_after),
                words.p_value(row.p),
            )
            for row in records(rows)
        ),
        title="The selected heads of each tower, ablated together",
        caption="Falls of accuracy on split E in percentage points. Heads were selected on split S; spatial functions "
        "are compared with random sets. p is not corrected for the number of rows, and cannot be below 1 / (random sets + 1).",
        n_text=4,
    )
