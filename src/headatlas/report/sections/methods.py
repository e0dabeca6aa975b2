"""Activation methods: what each gains, against its own controls, at which strength, and which heads are latent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from headatlas.report import words
from headatlas.report.blocks import gap, point_interval
from headatlas.report.charts import dots, lines
from headatlas.report.charts.theme import BLUE, GREEN, ORANGE
from headatlas.report.figures import SMALL, one_chart
from headatlas.report.one_task import is_one_task
from headatlas.report.page import Block, Chart, Figure, Note, Section, Swatch, Table
from headatlas.report.registry import section
from headatlas.report.tables import Run, only, records

NAN = float("nan")

CONTROLS = {
    "random_heads": "the same in random heads",
    "all_heads": "the same in all heads",
    "shuffled": "fitted on exchanged answers or labels",
    "random_directions": "random directions of equal length",
    "random_boxes": "boxes at random places",
    "image_twice": "the picture shown twice",
}


def _series(score: str) -> tuple[tuple[str, Swatch], ...]:
    """Prefix of the columns, and its place in the legend; `score` is what the spatial score is called."""
    return (
        ("", Swatch(score, BLUE, "circle")),
        ("own_", Swatch(f"{score}, own earlier answers", GREEN, "diamond")),
        ("off_task_", Swatch("Other steps", ORANGE, "square")),
    )


@section("methods", order=90)
def methods_section(run: Run) -> Section:
    """What helps and what does not, with the reason."""
    frame = run.tables["methods"]
    # Without functions, all steps are those of one task.
    score, heads = ("Right answers", "heads") if is_one_task(run) else ("Spatial score", "spatial heads")
    blocks: list[Block] = [*gap(run, "methods")]
    if len(frame):
        blocks += [_chart(frame, score), _table(frame, score)]
        blocks += _controls(run.tables["method_controls"])
        blocks += _strengths(run.tables["method_strengths"], score)
        blocks += _positive_control(run.tables["positive_control"], score) or gap(run, "positive_control")
        blocks += _latent(run.tables["latent"])
        blocks += _recruitment(run.tables["recruitment"])
    return Section(
        id="methods",
        title=f"Can {heads} be activated from inside?",
        intro="Each method was fitted on split P, tuned on split T and evaluated once on split E. It helps if the interval of "
        "its gain excludes 0 and it gains more than each of its controls, at a level corrected over all methods and controls.",
        blocks=tuple(blocks),
        short="Activation methods",
    )


def _chart(frame: pd.DataFrame, score: str) -> Figure:
    series = [(prefix, swatch) for prefix, swatch in _series(score) if frame[f"{prefix}gain"].notna().any()]
    rows = [
        {
            "row": words.plain(row.method),
            "series": swatch.text,
            "value": getattr(row, f"{prefix}gain"),
            "low": getattr(row, f"{prefix}low"),
            "high": getattr(row, f"{prefix}high"),
            "n": row.n,
        }
        for row in records(frame)
        for prefix, swatch in series
        if words.known(getattr(row, f"{prefix}gain"))
    ]
    swatches = tuple(swatch for _, swatch in series)
    spec = dots(
        pd.DataFrame(rows),
        swatches=swatches,
        x_title="points gained",
        rows=[words.plain(name) for name in frame["method"]],
        zero=True,
        tooltip=(("n", "n", ",.0f"),),
    )
    label = "Points gained by each activation method on spatial steps, in both contexts, and on all other steps."
    return one_chart("methods", spec, label, "Points gained by each method", "Left of 0: worse than before.", swatches)


def _positive_control(frame: pd.DataFrame, score: str) -> list[Block]:
    """The model with heads that were made latent: what was lost, and how much of it each method brings back."""
    if frame.empty:
        return []
    first, rows = frame.iloc[0], []
    for row in records(frame):
        span = f"{words.percent(row.restored_low, 0)} to {words.percent(row.restored_high, 0)}"
        share = f"{words.percent(row.restored, 0)} ({span})" if words.known(row.restored) else words.MISSING
        rows.append(
            (
                words.plain(row.method), "yes" if row.helps else "no",
                f"{words.number(row.before, 1)} → {words.number(row.after, 1)}", _signed(row.gain), _span(row.low, row.high),
                share, _signed(row.off_task_gain), f"{row.n_found} of {row.n_heads}", words.count(row.n_changed),
                row.reason or "",
            )
        )  # fmt: skip
    of, fall = score.lower(), "falls" if score == "Spatial score" else "fall"
    text = (
        f"Positive control: do the methods work where there is something to activate? Here the output of "
        f"{first['heads']} is multiplied by {first['factor']:.3g}. What these heads compute stays the same, but the "
        f"{of} {fall} from {words.number(first['intact'], 1)} to {words.number(first['before'], 1)}; a gain of "
        f"{1 / first['factor']:.3g} would restore it. {_woken(frame)}"
    )
    table = Table(
        columns=("Method", "Helps", score, "Gain", "95 % interval", "Of the loss restored", "Other steps",
                 "Faint heads changed", "Heads changed", "Why not"),
        rows=tuple(rows),
        title="Positive control: the same methods where heads were made latent",
        n_text=2,
    )  # fmt: skip
    return [Note(text), table]


def _woken(frame: pd.DataFrame) -> str:
    """One sentence: which method restores most."""
    if not float(frame.iloc[0]["lost_low"]) > 0:
        return "On split E this loss cannot be distinguished from none, so the control says nothing."
    helping = frame[frame["helps"].astype(bool)]
    if helping.empty:
        return "No method helps here. If a method gains nothing on the original model either, that says nothing about its heads."
    best = helping.loc[helping["gain"].idxmax()]
    found = int(best["n_found"])
    text = f"{words.plain(str(best['method']))} brings back {words.percent(best['restored'], 0)} of the loss"
    if not found:
        return f"{text}, without acting on a faint head. What it gains on any model is part of this share."
    return (
        f"{text} and acts on {found} of the {best['n_heads']} faint heads, so this method can find a loss of this kind and "
        "size. What it gains on the original model is part of the share."
    )


def _table(frame: pd.DataFrame, score: str) -> Table:
    return Table(
        columns=("Method", "Helps", score, "Gain", "95 % interval", "q", "Final answers, own context", "Other steps",
                 "Unreadable", "Heads", "Numbers", "Time", "Why not"),
        rows=tuple(
            (
                words.plain(row.method), "yes" if row.helps else "no",
                f"{words.number(row.before, 1)} → {words.number(row.after, 1)}", _signed(row.gain), _span(row.low, row.high),
                words.p_value(row.q), _signed(row.final_gain), _signed(row.off_task_gain), words.percent(row.unparsable_after),
                words.count(row.n_heads), words.count(row.parameters), f"× {words.number(row.time, 1)}", row.reason or "",
            )
            for row in records(frame)
        ),
        title="Every method",
        n_text=2,
        folded=True,
    )  # fmt: skip


def _controls(frame: pd.DataFrame) -> list[Block]:
    if frame.empty:
        return [Note("No method gained on split E, so no control was run.", weak=True)]
    table = Table(
        columns=("Method", "Control", "The control's gain", "Gain beyond it", "95 % interval", "q", "Beaten", "Fits"),
        rows=tuple(
            (
                words.plain(row.method), CONTROLS.get(row.control, words.plain(row.control)), words.points(row.gain),
                words.points(row.beyond), point_interval(row.low, row.high), words.p_value(row.q),
                ("yes" if row.beaten else "no") if row.required else "not required", words.count(row.draws),
            )
            for row in records(frame)
        ),
        title="Against their controls",
        n_text=2,
        folded=True,
    )  # fmt: skip
    return [table]


def _strengths(frame: pd.DataFrame, score: str) -> list[Block]:
    if frame.empty:
        return []
    columns = [(Swatch(score, BLUE), "accuracy")]
    if frame["off_task"].notna().any():
        columns.append((Swatch("Other steps", ORANGE, "square"), "off_task"))
    swatches = tuple(swatch for swatch, _ in columns)
    charts = []
    for name, setting, part in _curves(frame):
        curves = pd.concat(
            part.assign(x=part["value"], value=part[column], series=swatch.text, mark=part["chosen"], low=NAN, high=NAN)
            for swatch, column in columns
        )[["x", "series", "value", "low", "high", "mark"]]
        spec = lines(curves, swatches=swatches, x_title="strength", y_title="", y_domain=(0.0, 1.0))
        shown = f"{words.plain(name)}, {setting}" if setting else words.plain(name)
        label = f"{shown}: accuracy on split T against strength."
        charts.append(Chart(f"strength-{name}{setting and '-'}{setting.replace(' ', '-')}", spec, label, shown))
    title, caption = "Strengths tried on split T: right answers", "A ring marks the chosen strength."
    return [Figure("strengths", tuple(charts), title, caption, swatches, min_width=SMALL)]


def _curves(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each method, or each of its settings, with its rows and that of strength 0, in order of strength."""
    for name in dict.fromkeys(frame["method"]):
        rows = only(frame, method=name).sort_values("value")
        settings = rows["setting"].fillna("").astype(str)
        for setting in sorted(set(settings) - {""}) or [""]:
            yield name, setting, rows[settings.isin(["", setting])]


def _latent(frame: pd.DataFrame) -> list[Block]:
    found = frame[frame["latent"].astype(bool)] if len(frame) else frame
    if frame.empty:
        return []
    if found.empty:
        idle = int(frame["idle"].astype(bool).sum())
        return [Note(f"{idle} heads are decodable and without effect; no method recruits any of them.", weak=True)]
    table = Table(
        columns=(
            *("Head", "Function", "AUC above control", "Effect", "Effect with its group"),
            *("Recruited by", "Effect then", "p"),
        ),
        rows=tuple(
            (
                f"L{row.layer}.H{row.head}", words.group(row.function), words.number(row.auc, 3), words.number(row.effect, 3),
                words.number(row.group_effect, 3), words.plain(row.recruited_by), words.number(row.recruited_effect, 3),
                words.p_value(row.p_recruited),
            )
            for row in records(found)
        ),
        title="Latent heads: decodable, without effect, and recruited by a method (effects in nats)",
        n_text=2,
    )  # fmt: skip
    return [table]


def _recruitment(frame: pd.DataFrame) -> list[Block]:
    """How many heads are found before and after, by scorer, and the head whose score rises most."""
    if frame.empty:
        return []
    rows = []
    for (name, scorer, function), some in frame.groupby(["method", "scorer", "function"], sort=False):
        best = some.loc[(some["after"] - some["before"]).idxmax()]
        found = [
            words.MISSING if scorer == "frozen_probe" else str(int(some[column].astype(bool).sum()))
            for column in ("found_before", "found_after")
        ]
        rows.append(
            (words.plain(name), words.plain(scorer), words.group(function), *found,
             f"L{int(best['layer'])}.H{int(best['head'])}: {best['before']:.3f} to {best['after']:.3f}")
        )  # fmt: skip
    return [
        Table(
            columns=("Method", "Scorer", "Function", "Heads found before", "Heads found with it", "Largest rise"),
            rows=tuple(rows),
            title="Spatial heads before and with each helping method, by the same scorers, nulls and selector",
            n_text=3,
        )
    ]


def _signed(value: Any) -> str:
    """A number of points with its sign."""
    return words.points(value / 100) if words.known(value) else words.MISSING


def _span(low: Any, high: Any) -> str:
    return words.interval(_signed(low), _signed(high))
