"""What each head looks at: attention in three questions, cards of heads, gaze against ablation, redundant groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.report import words
from headatlas.report.blocks import headline_selector
from headatlas.report.charts import dots, points
from headatlas.report.charts.theme import BLUE, GREY, INK, ORANGE, PINK
from headatlas.report.figures import one_chart
from headatlas.report.page import Block, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.sections.examples import image_uri
from headatlas.report.tables import Run, only, records

SELECTED, IN_GROUP = Swatch("Selected by gaze", BLUE, "square"), Swatch("In a redundant group", PINK, "diamond")
BOTH, NEITHER = Swatch("Both", INK, "triangle-up"), Swatch("Neither", GREY, "circle")
PARTS = {
    "one": Swatch("One head (mean)", GREY, "circle"),
    "half": Swatch("Half of them", ORANGE, "square"),
    "all": Swatch("All of them", BLUE, "diamond"),
    "random": Swatch("As many random heads", "#5b6875", "cross"),
}
N_LABELS = 12


@section("looking", order=40)
def looking_section(run: Run) -> Section:
    """Attention of single heads, and of groups that stand in for each other."""
    blocks: list[Block] = [*_left_out(run)]
    if len(run.tables["gaze"]):
        blocks += [*_scatter(run), *_gaze_table(run)]
    if len(run.tables["groups"]):
        blocks += [_groups(run), _group_table(run)]
    elif "multihead" in set(run.tables["scorers"]["scorer"]):
        blocks.append(Note("No redundant group was found.", weak=True))
    data = {"questions": _questions(run), "cards": _cards(run)}
    if not blocks and not data["questions"]:
        blocks.append(Note(run.why("gaze", "groups") or "Attention was not read in this run.", weak=True))
    return Section(
        id="looking",
        title="What does each head look at?",
        intro="At the position that predicts an answer, each head spreads its attention over the picture and "
        "the words. Bright places in the small pictures are what a head looks at from this position. "
        "The number below a picture is the share of the head's attention on what the step asks about. A"
        " head can look at the right thing without being needed. Several heads can also do the same "
        "work, so that losing one of them costs nothing; such heads form the redundant groups. A frame "
        "marks heads that the chosen scorer selects for spatial functions.",
        blocks=tuple(blocks),
        kind="looking",
        data=data,
        short="What heads look at",
    )


def _left_out(run: Run) -> list[Note]:
    rows = run.tables["scorers"]
    return [
        Note(f"{words.scorer(row.scorer)} was left out: {row.left_out.rstrip('.')}.", weak=True)
        for row in records(rows)
        if row.left_out
    ]


def _questions(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "step": str(entry.get("step", "")),
            "answer": str(entry.get("answer", "")),
            "function": words.group(str(entry.get("function", ""))),
            "image": image_uri(run.path, str(entry.get("image") or "")),
            "heads": [
                {
                    "head": str(one.get("head", "")),
                    "image": image_uri(run.path, str(one.get("picture") or "")),
                    "share": _share(one.get("target"), "on target") or _share(one.get("image_mass"), "on picture"),
                }
                for one in _list(entry, "heads")
            ],
        }
        for entry in _list(run.looking, "questions")
    ]


def _cards(run: Run) -> list[dict[str, Any]]:
    out = []
    for entry in _list(run.looking, "cards"):
        effects = entry.get("effects")
        effects = effects if isinstance(effects, dict) else {}
        known = {name: float(effects[name]) for name in FUNCTIONS if words.known(effects.get(name))}
        largest = max([0.05, *map(abs, known.values())])
        out.append(
            {
                "head": str(entry.get("head", "")),
                "facts": [
                    text
                    for text in (
                        _share(entry.get("target"), "of its attention on what is asked about"),
                        _share(entry.get("random"), "on random boxes"),
                        _share(entry.get("image"), "on the picture"),
                    )
                    if text
                ],
                "effects": [
                    {
                        "name": words.short(name),
                        "text": words.number(value, 2),
                        "width": round(100 * abs(value) / largest, 1),
                        "minus": value < 0,
                    }
                    for name, value in known.items()
                ],
                "examples": [
                    {
                        "image": image_uri(run.path, str(one.get("picture") or "")),
                        "step": str(one.get("step", "")),
                        "answer": str(one.get("answer", "")),
                        "share": _share(one.get("target"), "on target"),
                    }
                    for one in _list(entry, "examples")
                ],
            }
        )
    return out


def _list(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = entry.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _share(value: object, what: str) -> str:
    return f"{words.percent(value, 0)} {what}" if words.known(value) else ""


def _function(run: Run) -> str:
    """The function whose gaze is shown: the first spatial one that has any."""
    there = set(run.tables["gaze"]["function"])
    return next((name for name in (*SPATIAL, *FUNCTIONS) if name in there), SPATIAL[0])


def _scatter(run: Run) -> list[Figure]:
    function = _function(run)
    rows = only(run.tables["gaze"], function=function)
    effects = only(run.tables["scores"], scorer="ablation", function=function)
    if effects.empty:
        return []
    joined = rows.merge(effects[["layer", "head", "value"]], on=["layer", "head"], validate="one_to_one")
    selector = headline_selector(run, "attention")
    chosen = only(run.tables["selection"], scorer="attention", selector=selector, function=function)
    selected = {name for row in records(chosen) for name in str(row.heads).split()}
    grouped = {name for row in records(only(run.tables["groups"], function=function)) for name in row.heads.split()}
    names = [f"L{layer}.H{head}" for layer, head in zip(joined["layer"], joined["head"], strict=True)]

    def series(name: str) -> str:
        if name in selected and name in grouped:
            return BOTH.text
        return SELECTED.text if name in selected else IN_GROUP.text if name in grouped else NEITHER.text

    frame = pd.DataFrame(
        {
            "x": 100 * joined["gaze"], "y": joined["value"], "name": names, "series": [series(name) for name in names],
            "target": 100 * joined["target"],
        }
    )  # fmt: skip
    frame["label"] = _labels(frame)
    used = tuple(s for s in (BOTH, SELECTED, IN_GROUP, NEITHER) if s.text in set(frame["series"]))
    spec = points(
        frame, swatches=used, x_title="gaze: attention on the target minus random boxes (points)",
        y_title="loss when it alone is ablated (nats)",
        tooltip=(("name", "head", ""), ("series", " ", ""), ("target", "on the target, %", ".1f"), ("x", "gaze", ".1f"),
                 ("y", "loss alone, nats", ".3f")),
    )  # fmt: skip
    label = f"Gaze and single ablation of {len(frame)} heads for {words.group(function).lower()}."
    caption = (
        "Heads on the right look at what is asked about. Heads at the top cost something when they are "
        "ablated alone. Heads at the lower right look at the right thing, but no single one of them is "
        "needed."
    )
    title = f"Gaze against ablation: {words.group(function)}"
    return [one_chart("looking-scatter", spec, label, title, caption, swatches=used)]


def _labels(frame: pd.DataFrame) -> list[str]:
    """Names of the heads farthest from the origin, where they do not cover each other."""
    x = frame["x"].to_numpy() / max(float(frame["x"].abs().max()), 1e-9)
    y = frame["y"].to_numpy() / max(float(frame["y"].abs().max()), 1e-9)
    labels, placed = [""] * len(frame), []
    for i in np.argsort(-np.hypot(x, y), kind="stable")[:N_LABELS]:
        clear = all(abs(x[i] - x[j]) > 0.14 or abs(y[i] - y[j]) > 0.05 for j in placed)
        if np.hypot(x[i], y[i]) > 0.25 and clear:
            labels[i] = str(frame["name"].iloc[i])
            placed.append(i)
    return labels


def _gaze_table(run: Run) -> list[Table]:
    function = _function(run)
    rows = only(run.tables["gaze"], function=function).sort_values("gaze", ascending=False, kind="stable").head(12)
    return [
        Table(
            columns=(
                "Head",
                "Target",
                "Random boxes",
                "Other questions' boxes",
                "Picture",
                "Top token in it",
                "On sinks",
                "p",
            ),
            rows=tuple(
                (
                    f"L{row.layer}.H{row.head}",
                    words.percent(row.target, 0),
                    words.percent(row.random, 0),
                    words.percent(row.foreign, 0),
                    words.percent(row.image, 0),
                    words.percent(row.top_in_target, 0),
                    words.percent(row.image_sink + row.sink, 0),
                    words.p_value(row.p),
                )
                for row in records(rows)
            ),
            title=f"The heads with the largest gaze: {words.group(function)}",
            caption="Shares of a head's attention, averaged over the steps with boxes. Sinks (patches that "
            "get attention whatever is asked) count in no box.",
            folded=True,
        )
    ]


def _name(row: Any) -> str:
    return f"{words.group(row.function)} {row.group}" if row.group > 1 else words.group(row.function)


def _groups(run: Run) -> Figure:
    table = run.tables["groups"]
    shown = table[table["part"].isin(list(PARTS))]
    frame = pd.DataFrame(
        {
            "row": [_name(row) for row in records(shown)],
            "series": [PARTS[part].text for part in shown["part"]],
            "value": 100 * shown["drop"],
            "low": 100 * shown["low"],
            "high": 100 * shown["high"],
            "k": shown["k"],
        }
    )
    used = tuple(swatch for swatch in PARTS.values() if swatch.text in set(frame["series"]))
    spec = dots(
        frame, swatches=used, x_title="fall of accuracy on these steps (points)", zero=True,
        rows=list(dict.fromkeys(frame["row"])), tooltip=(("k", "heads", ".0f"),),
    )  # fmt: skip
    label = "Damage of one, half and all heads of each redundant group: " + "; ".join(
        f"{row.row}, {row.series} {words.number(row.value, 1)}" for row in records(frame)
    )
    return one_chart(
        "looking-groups", spec, label, "Redundant groups: the damage of one, half and all of the heads",
        "Groups were found on split S and are measured here on split E. The line at the random heads covers "
        "95 % of the random sets.",
        swatches=used,
    )  # fmt: skip


def _group_table(run: Run) -> Table:
    table = run.tables["groups"]
    rows = []
    for (_, _), some in table.groupby(["function", "group"], sort=False):
        by = {row.part: row for row in records(some)}
        whole = by["all"]
        drops = [words.points(by[part].drop) if part in by else words.MISSING for part in (*PARTS, "worst_one")]
        one, half, every, random, worst = drops
        rows.append(
            (
                _name(whole),
                whole.heads,
                one,
                worst,
                half,
                every,
                random,
                words.percent(whole.unparsable_after),
                words.p_value(whole.p),
            )
        )
    return Table(
        columns=("Function", "Heads", "One", "Worst one", "Half", "All", "Random", "Unreadable", "p"),
        rows=tuple(rows),
        title="The groups in numbers",
        folded=True,
        caption="Falls of accuracy in percentage points. Unreadable: answers without all heads of the group. p: against the "
        "random sets.",
        n_text=2,
    )
