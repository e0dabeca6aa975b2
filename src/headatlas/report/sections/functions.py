"""The verdicts function by function: one number each, with its control as a small picture."""

from __future__ import annotations

import math
from typing import Any

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.intervention.concentration import FORM
from headatlas.report import words
from headatlas.report.blocks import all_scorers
from headatlas.report.page import Block, FunctionVerdicts, Gauge, Judged, Note, PerScorer, Section, Table
from headatlas.report.registry import section
from headatlas.report.sections.heads import selected_heads
from headatlas.report.sections.story import removal_row
from headatlas.report.tables import Run, only, records

QUESTIONS = ("Are its heads needed?", "Do a few heads do its work?")
NAN = float("nan")


@section("functions", order=0)
def functions_section(run: Run) -> Section:
    """One row for each function, once for each scorer."""
    views = {scorer: _view(run, scorer) for scorer in all_scorers(run)}
    empty = (Note(run.why("negative", "concentration") or "Nothing was scored.", weak=True),)
    return Section(
        id="functions",
        title="What was found, function by function",
        intro="A question is answered in steps, and each step needs one of eight functions. The left column "
        "shows what the function's steps lose when its heads are silenced, beside the loss when as many"
        " random heads are silenced. The right column shows how much of the damage of silencing every "
        "head is done by the function's best few heads alone. The dot and its line are the result with "
        "its 95 % interval. The control is grey, and the dotted line is what the claim asks for.",
        blocks=(PerScorer(views),) if views else empty,
        short="Verdicts by function",
    )


def _view(run: Run, scorer: str) -> tuple[Block, ...]:
    judged = {str(entry.get("scorer")) for entry in run.claims if entry.get("scorer")}
    if scorer not in judged:
        names = words.listing([words.scorer(name) for name in all_scorers(run) if name in judged])
        why = f"Only heads found by {names} were silenced and judged." if names else run.why("claims")
        return (Note(f"There is no verdict on heads found by {words.scorer_title(scorer)}. {why}", weak=True),)
    heads = selected_heads(run, scorer)
    rows, texts = [], []
    for function in FUNCTIONS:
        needed, few = _part(run, "C5a", scorer, function), _part(run, "C1", scorer, function)
        pair = (_needed(run, scorer, function, needed), _few(run, scorer, function, few))
        rows.append((words.group(function), function in SPATIAL, tuple(heads.get(function, ())), pair))
        texts += [
            (words.group(function), str(part["text"]), str(part["verdict"]))
            for part in (needed, few)
            if part.get("text")
        ]
    table = Table(("Function", "In words", "Verdict"), tuple(texts), title="The same in words", n_text=3, folded=True)
    return (Note(_tally(rows)), FunctionVerdicts(QUESTIONS, tuple(rows)), *((table,) if texts else ()))


def _tally(rows: list[tuple[str, bool, tuple[str, ...], tuple[Judged, ...]]]) -> str:
    """How many functions get which verdict, for each question."""
    parts = []
    for i, question in enumerate(QUESTIONS):
        verdicts = [judged[i].verdict for *_, judged in rows]
        counts = [f"{verdicts.count(name)} {name}" for name in words.VERDICTS if name in verdicts]
        parts.append(f"{question} {', '.join(counts)}.")
    return " ".join(parts)


def _part(run: Run, claim: str, scorer: str, function: str) -> dict[str, Any]:
    """The part of a claim that is about a function, as claims.json has it; empty if there is none."""
    for entry in run.claims:
        if entry.get("id") == claim and entry.get("scorer") == scorer:
            for part in entry.get("parts") or []:
                if isinstance(part, dict) and part.get("function") == function:
                    return part
    return {}


def _verdict(part: dict[str, Any]) -> str:
    verdict = str(part.get("verdict", ""))
    return verdict if verdict in words.VERDICTS else "not testable here"


def _needed(run: Run, scorer: str, function: str, part: dict[str, Any]) -> Judged:
    row = removal_row(run, scorer, function)
    if row is None or not words.known(row.drop):
        return Judged("not testable here", "", "No head was selected, so none was silenced.")
    compared = words.known(row.random_drop)
    ends = [100 * x for x in (row.low, row.high, row.drop, row.random_low, row.random_high, 0.0) if words.known(x)]
    label = f"Points lost: {_lost(row.drop)}" + (f"; with random heads {_lost(row.random_drop)}" if compared else "")
    gauge = Gauge(
        min(ends) - 3, max(*ends, 20.0) + 3, 100 * row.drop, label, 100 * row.low, 100 * row.high,
        100 * row.random_drop, 100 * row.random_low, 100 * row.random_high, 0.0,
    )  # fmt: skip
    if not compared:
        return Judged("not testable here", f"{_lost(row.drop)} points lost", "No random sets were run for it.", gauge)
    span = words.interval(_lost(row.beyond_low), _lost(row.beyond_high))
    more = f"{_lost(row.beyond)} more than random heads" + (f" ({span})" if span else "")
    return Judged(_verdict(part), f"{_lost(row.drop)} points lost", more, gauge)


def _few(run: Run, scorer: str, function: str, part: dict[str, Any]) -> Judged:
    rows = only(run.tables["concentration"], scorer=scorer, function=function)
    rows = rows[rows["n_random"] > 0]
    if rows.empty:
        return Judged("not testable here", "", "It was not measured.")
    row: Any = records(rows.loc[[rows["k"].idxmax()]])[0]
    if not words.known(row.ratio):
        return Judged("not testable here", "", "Silencing every head does no damage here.")
    ends = [100 * x for x in (row.low, row.high, row.ratio, row.random_ratio, 0.0, 1.0) if words.known(x)]
    label = f"Share of the damage: {words.percent(row.ratio)}; with random heads {words.percent(row.random_ratio)}"
    bound = part.get("bound")
    gauge = Gauge(
        min(ends), max(ends), 100 * row.ratio, label, 100 * row.low, 100 * row.high, 100 * row.random_ratio,
        bound=100 * bound if words.known(bound) else NAN,  # type: ignore[operator]
    )  # fmt: skip
    span = words.interval(words.percent(row.low, 0), words.percent(row.high, 0))
    note = f"by its best {words.count(row.k)} heads" + (f" ({span})" if span else "")
    note += f"; random heads {words.percent(row.random_ratio, 0)}"
    if words.known(row.form) and row.form > FORM:
        note += f"; {words.percent(row.form, 0)} of the lost answers are unreadable, so these heads may serve the form of answers"
    return Judged(_verdict(part), f"{words.percent(row.ratio, 0)} of the damage", note, gauge)


def _lost(share: object) -> str:
    """Points lost, without a plus sign; a gain has a minus sign."""
    return words.number(100 * share, 1) if words.known(share) and math.isfinite(share) else words.MISSING  # type: ignore[arg-type, operator]
