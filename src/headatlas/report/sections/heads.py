"""Which heads matter for which function: the maps, how many are selected, where they sit, what functions share."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import gap, headline_selector, per_scorer, spatial_swatches
from headatlas.report.charts import bars, head_map, heat
from headatlas.report.charts.maps import CELLS_AS_SVG
from headatlas.report.charts.theme import INK
from headatlas.report.figures import SMALL, matrix_chart, one_chart, ramp_to
from headatlas.report.page import Block, Chart, Figure, Note, Ramp, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records


@section("maps", order=30)
def maps_section(run: Run) -> Section:
    """One map of layers x heads for each function."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        largest = float(rows["value"].abs().max())
        selector = headline_selector(run, scorer)
        names = words.functions_in_order(rows["function"])
        charts = [function_map(run, scorer, rows, name, f"map-{scorer}-{name}", largest) for name in names]
        return (
            Figure(
                name=f"maps-{scorer}",
                charts=tuple(charts),
                title=f"Score of every head: {words.scorer(scorer)}",
                caption=f"Outlined: selected heads (rule: {words.plain(selector, words.SELECTORS)}). In brackets: their number.",
                ramp=map_ramp(largest),
                swatches=(Swatch("Selected head", INK, "outline"),),
                min_width=SMALL,
            ),
        )

    return Section(
        id="maps",
        title="Which heads matter for which function?",
        intro="Each square is one attention head, with the first layer at the bottom and the last at the top. "
        "Stronger blue means a higher score for that function; all maps of a scorer share one colour scale. "
        "The buttons choose the scorer, here and in the sections below.",
        blocks=(
            *per_scorer(run, run.tables["scores"], view, "scores"),
            *(gap(run, "selection") if len(run.tables["scores"]) else ()),
        ),
        short="Maps of heads",
    )


def function_map(run: Run, scorer: str, rows: pd.DataFrame, function: str, name: str, largest: float) -> Chart:
    """The map of one function: `rows` of scores.csv of this scorer; `largest` ends the colour scale."""
    shape = (int(rows["layer"].max()) + 1, int(rows["head"].max()) + 1)
    cells, heads = only(rows, function=function), selected_heads(run, scorer).get(function, [])
    where = [f"L{int(cell.layer)}.H{int(cell.head)}" for cell in records(cells)]
    spec = head_map(cells.assign(selected=[head in heads for head in where]), shape=shape, largest=largest)
    label = f"Map of {words.group(function)} over {shape[0]} layers and {shape[1]} heads. Selected: " + (
        ", ".join(sorted(heads)) if 0 < len(heads) <= 20 else f"{len(heads)} heads" if heads else "none"
    )
    renderer = "canvas" if shape[0] * shape[1] > CELLS_AS_SVG else "svg"
    return Chart(name, spec, label, f"{words.group(function)} ({len(heads)})", renderer)


def map_ramp(largest: float) -> Ramp:
    """The legend of a map of scores."""
    return ramp_to(largest, "blue helps the function, orange works against it", digits=2)


def selected_heads(run: Run, scorer: str) -> dict[str, list[str]]:
    """The heads that the page outlines for each function, best first."""
    rows = only(run.tables["selection"], scorer=scorer, selector=headline_selector(run, scorer))
    return {row.function: str(row.heads).split() for row in records(rows)}


@section("counts", order=160)
def counts_section(run: Run) -> Section:
    """The number of heads of each function, and how concentrated its scores are."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        return (
            _count_bars(rows, scorer, headline_selector(run, scorer)),
            *_empty_sets(rows),
            _count_table(rows, scorer),
        )

    def concentration(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        return (_sparsity_table(rows),)

    return Section(
        id="counts",
        title="How many heads does each function have?",
        intro="A function is sparse if few of the model's heads serve it. The paper claims that all eight functions are sparse, "
        "and that the two spatial ones have the fewest heads.",
        blocks=(
            *per_scorer(run, run.tables["selection"], view, "selection"),
            *per_scorer(run, run.tables["sparsity"], concentration, "sparsity"),
        ),
        short="How many heads",
    )


def _count_bars(rows: pd.DataFrame, scorer: str, selector: str) -> Figure:
    chosen = only(rows, selector=selector).copy()
    order = words.functions_in_order(chosen["function"])
    chosen = chosen.set_index("function").loc[order].reset_index()
    frame, swatches = spatial_swatches(
        pd.DataFrame(
            {
                "row": [words.group(name) for name in chosen["function"]],
                "value": chosen["count"],
                "text": [words.count(c) for c in chosen["count"]],
                "heads": chosen["heads"].where(
                    chosen["heads"].str.len() < 160, chosen["heads"].str.slice(0, 157) + "..."
                ),
            }
        ),
        chosen["function"],
    )
    spec = bars(frame, swatches=swatches, x_title="selected heads", tooltip=(("text", "heads"), ("heads", "which")))
    title = f"Selected heads per function: {words.scorer(scorer)}, {words.plain(selector, words.SELECTORS)}"
    label = "Number of selected heads: " + ", ".join(f"{row.row} {row.text}" for row in records(frame))
    return one_chart(f"counts-{scorer}", spec, label, title, swatches=swatches)


def _empty_sets(rows: pd.DataFrame) -> tuple[Note, ...]:
    """Why functions have no heads under a rule: one note for each rule and reason, with its functions."""
    empty = rows[(rows["count"] == 0) & (rows["reason"] != "")]
    return tuple(
        Note(
            f"{words.listing([words.group(name) for name in words.functions_in_order(part['function'])])}, "
            f"{words.plain(str(selector), words.SELECTORS)}: {reason}"
        )
        for (selector, reason), part in empty.groupby(["selector", "reason"], sort=False)  # type: ignore[misc]
    )


def _count_table(rows: pd.DataFrame, scorer: str) -> Table:
    selectors = words.in_order(rows["selector"], words.SELECTORS)
    keys = zip(rows["function"], rows["selector"], strict=True)
    cells = {key: words.count(n) for key, n in zip(keys, rows["count"], strict=True)}
    return Table(
        columns=("Function", *(words.plain(name, words.SELECTORS) for name in selectors)),
        rows=tuple(
            (words.group(name), *(cells.get((name, selector), words.MISSING) for selector in selectors))
            for name in words.functions_in_order(rows["function"])
        ),
        title="The same with every selection rule",
        caption="The number of functional heads depends on the rule. “Above chance” keeps heads whose score "
        "is above that of shuffled labels. The other rules are those of published work.",
        folded=True,
    )


def _sparsity_table(rows: pd.DataFrame) -> Table:
    by_name = {row.function: row for row in records(rows)}
    return Table(
        columns=("Function", "Selected", "Share of heads", "Score > 0.001", "Gini", "Effective number", "Mean depth"),
        rows=tuple(
            (
                words.group(name),
                words.count(by_name[name].count),
                words.percent(by_name[name].share),
                words.percent(by_name[name].share_above_threshold),
                words.number(by_name[name].gini),
                words.number(by_name[name].effective_number, 1),
                words.percent(by_name[name].centroid, 0),
            )
            for name in words.functions_in_order(by_name)
        ),
        title="How concentrated the scores are",
        caption="Gini: 0 if all heads matter equally, 1 if only one head matters. Effective number: how many equally strong "
        "heads would be as spread out. Mean depth: 0 % is the first layer, 100 % the last.",
        folded=True,
    )


@section("place", order=180)
def place_section(run: Run) -> Section:
    """In which layers the heads of each function sit."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        selected = selected_heads(run, scorer)
        n_layers = int(rows["layer"].max()) + 1
        positive = rows.assign(value=rows["value"].clip(lower=0))
        shares = positive.groupby(["function", "layer"], as_index=False).agg({"value": "sum"})
        totals = {name: float(only(positive, function=name)["value"].sum()) for name in set(shares["function"])}
        shares["share"] = [
            value / totals[name] if totals[name] > 0 else 0.0
            for name, value in zip(shares["function"], shares["value"], strict=True)
        ]
        counts = [
            sum(h.startswith(f"L{int(layer)}.") for h in selected.get(name, ()))
            for name, layer in zip(shares["function"], shares["layer"], strict=True)
        ]
        frame = pd.DataFrame(
            {
                "row": [words.group(name) for name in shares["function"]],
                "column": [str(int(layer)) for layer in shares["layer"]],
                "value": shares["share"],
                "text": [str(c) if c else "" for c in counts],
                "share_text": [words.percent(s) for s in shares["share"]],
                "count_text": [str(c) for c in counts],
            }
        )
        spec = heat(
            frame,
            rows=[words.group(name) for name in words.functions_in_order(rows["function"])],
            columns=[str(layer) for layer in range(n_layers)],
            y_title="",
            x_title="layer, first to last",
            largest=float(shares["share"].max()),
            diverging=False,
            tooltip=(
                ("row", " "),
                ("column", "layer"),
                ("share_text", "share of the positive score"),
                ("count_text", "selected heads"),
            ),
            cell=28,
            angle=0,
        )
        title = f"Layer profile: {words.scorer(scorer)}"
        label = "Share of each function's positive score in each layer, with the number of selected heads."
        caption = "Colour: share of the function's positive score that lies in the layer. Number: selected heads there."
        return (one_chart(f"layers-{scorer}", spec, label, title, caption),)

    return Section(
        id="place",
        title="Where do the heads sit?",
        intro="Early layers read the input, and late layers form the answer. A row that is dark in one place "
        "belongs to a function whose heads sit in few layers.",
        blocks=per_scorer(run, run.tables["scores"], view, "scores"),
        short="Where heads sit",
    )


@section("overlap", order=190)
def overlap_section(run: Run) -> Section:
    """How much functions share their heads."""

    def view(scorer: str, rows: pd.DataFrame) -> tuple[Block, ...]:
        order = words.functions_in_order([*rows["function_a"], *rows["function_b"]])
        pairs = {(row.function_a, row.function_b): row for row in records(rows)}
        cells = []
        for a in order:
            for b in order:
                row = pairs.get((a, b)) or pairs.get((b, a))
                if row is None or a == b:
                    continue
                cells.append(
                    {
                        "row": words.short(a),
                        "column": words.short(b),
                        "value": row.jaccard_corrected,
                        "text": words.number(row.jaccard_corrected),
                        "pair": f"{words.group(a)} and {words.group(b)}",
                        "raw": words.number(row.jaccard),
                    }
                )
        if sum(bool(heads) for heads in selected_heads(run, scorer).values()) < 2:
            return (Note("Fewer than two functions have heads, so nothing can be shared.", weak=True),)
        name, label = (
            f"overlap-{scorer}",
            "Overlap between the head sets of each pair of functions, corrected for chance.",
        )
        chart = matrix_chart(
            name, pd.DataFrame(cells), label, rows=order, columns=order, largest=1.0,
            tooltip=(("pair", " "), ("text", "above chance"), ("raw", "shared share (Jaccard)")),
        )  # fmt: skip
        ramp = ramp_to(1.0, "0: as much as two random sets, 1: the same heads")
        return (Figure(name, (chart,), f"Shared heads: {words.scorer(scorer)}", ramp=ramp),)

    return Section(
        id="overlap",
        title="Do functions share heads?",
        intro="Two functions may use the same heads. Each cell is the Jaccard overlap of two sets (shared heads divided by all "
        "heads of both), corrected so that 0 is the overlap by chance.",
        blocks=per_scorer(run, run.tables["overlap"], view, "overlap"),
        short="Shared heads",
    )
