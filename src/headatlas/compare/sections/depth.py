"""At which depth the heads of each function sit, model by model."""

from __future__ import annotations

import pandas as pd

from headatlas.cogvsr.functions import TITLES
from headatlas.compare.figures import (
    MEASURED,
    against_chance,
    likeness,
    likeness_table,
    looks,
    pair_name,
)
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import per_scorer
from headatlas.report.charts import lines
from headatlas.report.page import Block, Chart, Figure, Note, Section, Swatch
from headatlas.report.tables import Run, only, records

MOST_PAIRS = 6
"""With more pairs of models than this, only the means over functions are drawn; the table has every function."""

KINDS = {
    "score": (
        "Where the score lies",
        "Share of a function's positive score at each depth. Bands are 95 % intervals.",
    ),
    "selected": ("Where the selected heads lie", "Share of a function's selected heads at each depth."),
}
MEASURES = {
    "profile_distance": "Distance (share of the depth)",
    "profile_correlation": "Correlation over depth",
    "profile_match": "How much nearer the same function is (share of the depth)",
}
IN_PERCENT = frozenset(("profile_distance", "profile_match"))


@comparison_section("place", order=60)
def place_section(run: Run) -> Section:
    """The layer profiles of all models, and their distances compared with chance."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        figures = [_profiles(rows, scorer, kind, looks(run)) for kind in KINDS]
        return (*[f for f in figures if f], *_distances(run, scorer), *_correlations(run, scorer), *_match(run, scorer))

    return Section(
        id="place",
        title="Where do the heads sit?",
        intro="Layers of different models do not correspond, but relative depth does: 0 % is the first layer, 100 % the last. "
        "Where the lines of two models run together, a function sits at the same depth in both.",
        blocks=per_scorer(run, run.tables["profiles"], view, "profiles"),
        short="Where heads sit",
    )


def _profiles(rows: pd.DataFrame, scorer: str, kind: str, swatches: tuple[Swatch, ...]) -> Figure | None:
    rows = only(rows, kind=kind)
    rows = rows[rows["share"].notna()]
    if rows.empty:
        return None
    title, caption = KINDS[kind]
    charts = []
    for name in words.functions_in_order(rows["function"]):
        part = only(rows, function=name).sort_values(["model", "depth_low"])
        frame = pd.DataFrame(
            {
                "x": 50 * (part["depth_low"] + part["depth_high"]),
                "series": part["model"],
                "value": part["share"],
                "low": part["low"],
                "high": part["high"],
            }
        )
        spec = lines(frame, swatches=swatches, x_title="depth (%)", y_title="", height=120)
        label = f"{words.group(name)}: {title.lower()}, by relative depth, one line for each model."
        charts.append(Chart(f"place-{kind}-{scorer}-{name}", spec, label, words.group(name)))
    return Figure(
        f"place-{kind}-{scorer}", tuple(charts), f"{title}: {words.scorer(scorer)}", caption, swatches, min_width=215
    )


def _distances(run: Run, scorer: str) -> tuple[Block, ...]:
    rows = likeness(run, scorer, "profile_distance")
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return (Note("The profiles cannot be compared: no function has a positive score in two models.", weak=True),)
    pairs = list(dict.fromkeys(zip(rows["model_a"], rows["model_b"], strict=True)))
    charts, swatches = [], (MEASURED,)
    if len(pairs) <= MOST_PAIRS:
        for i, (a, b) in enumerate(pairs):
            part = only(rows, model_a=a, model_b=b)
            part = part.set_index("function").loc[words.in_order(part["function"], ("", *TITLES))].reset_index()
            names = ["Mean of all" if f == "" else words.group(f) for f in part["function"]]
            label = f"Distance between the layer profiles of {a} and {b}, function by function, compared with chance."
            chart, swatches = against_chance(
                f"place-distance-{scorer}-{i}", part, names, "distance (% of the depth)", label, 100.0, pair_name(a, b)
            )
            charts.append(chart)
    else:
        part = only(rows, function="")
        names = [pair_name(row.model_a, row.model_b) for row in records(part)]
        label = "Mean distance between the layer profiles of every two models, compared with chance."
        chart, swatches = against_chance(
            f"place-distance-{scorer}", part, names, "distance (% of the depth)", label, 100.0
        )
        charts.append(chart)
    return (
        Figure(
            f"place-distance-{scorer}",
            tuple(charts),
            "How far apart are the profiles?",
            "How far the score of one model would have to be moved on average, in % of the depth, to lie as in the other (earth "
            "mover's distance). Left of the grey line: closer than with the layers of both models in random order. With few "
            "layers the range by chance is wide: of six layers, the same one is highest in one of six random orders.",
            swatches,
            min_width=380 if len(charts) > 1 else 0,
        ),
    )


def _correlations(run: Run, scorer: str) -> tuple[Block, ...]:
    rows = only(likeness(run, scorer, "profile_correlation"), function="")
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return ()
    names = [pair_name(row.model_a, row.model_b) for row in records(rows)]
    label = "Correlation of the layer profiles over depth, mean over functions, compared with chance."
    name = f"place-correlation-{scorer}"
    chart, swatches = against_chance(name, rows, names, "correlation, mean over functions", label)
    caption = "1: the same rise and fall over depth, 0: unrelated. Chance: the layers of both models in random order."
    return (Figure(name, (chart,), "Do the profiles rise and fall together?", caption, swatches),)


def _match(run: Run, scorer: str) -> tuple[Block, ...]:
    every = run.tables["likeness"]
    rows = only(every, scorer=scorer, what="profile_match")
    sentences = [
        f"{pair_name(row.model_a, row.model_b)}: {words.percent(row.value)} of the depth (chance {words.percent(row.chance_low)} "
        f"to {words.percent(row.chance_high)}, p {words.p_value(row.p)})"
        for row in records(rows[rows["value"].notna()])
    ]
    notes = (
        (
            Note(
                "Does each function have its own depth, or do all share one? How much nearer a function's profile is to that of "
                f"the same function in the other model than to those of other functions: {'; '.join(sentences)}. Above chance, "
                "functions have places of their own that both models share. Chance: other orders of the functions' names."
            ),
        )
        if sentences
        else ()
    )
    table = likeness_table(only(every, scorer=scorer, what=list(MEASURES)), MEASURES, IN_PERCENT)
    return (*notes, table)
