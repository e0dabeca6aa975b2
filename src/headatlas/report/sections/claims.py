"""The verdicts on the paper's claims, and the words a newcomer needs to read them.

Knows claims.json; knows nothing of how verdicts are reached.
"""

from __future__ import annotations

import re
from typing import Any

from headatlas.cogvsr.functions import FUNCTIONS, MEANINGS, TITLES
from headatlas.report import words
from headatlas.report.page import Note, Section
from headatlas.report.tables import Run

SHARE_UNITS = {"share", "shares"}
DIFFERENCES = {"C4", "C5a", "C5b"}
"""Claims whose effect is one accuracy minus another: shown in points even where the unit says `share`."""
POINT_UNITS = {"accuracy", "points", "percentage points", "drop", "gain", "pp"}

GLOSSARY = (
    (
        "Head",
        "One attention head: a small unit of the model. Each layer has several, side by side. L3.H5 is head 5 of layer 3.",
    ),
    ("Function", "One of eight kinds of thinking that a step of a question asks for; two of them are spatial."),
    ("Step", "A question is answered as a chain of short subquestions; each is a step, and each has a function."),
    ("Scorer", "A way to rate how much each head matters for a function. This study compares several."),
    (
        "Ablation",
        "Silencing heads (scaling their output to almost nothing) and seeing what the model can no longer do.",
    ),
    (
        "Control",
        "The same thing done to something that should not matter, for example to the same number of random heads.",
    ),
    (
        "Split",
        "The data in four parts that share no image: P fits probes, S scores and selects heads, T tunes strengths, "
        "E evaluates, once.",
    ),
    (
        "95 % interval",
        "Where the true value lies with fair certainty, given how many questions were asked. Drawn as a bar through "
        "a dot.",
    ),
    ("Points", "Percentage points: from 80 % to 70 % is a drop of 10 points."),
    ("p and q", "How often chance alone would give an effect this large; q is p corrected for testing many things."),
)


def claims_section(run: Run) -> Section:
    """The paper's claims, a group each, one row a scorer."""
    level = f" A control is beaten at p ≤ {run.q:g}." if run.q is not None else ""
    return Section(
        id="claims",
        title="What the paper claims, and what came out here",
        intro="Each claim of the paper is tested on this model, once for each way of finding heads (“scorer”). "
        "A claim is supported only if its effect is clear and beats its control; the range in brackets is the 95 % interval."
        + level,
        blocks=() if run.claims else (Note(run.why("claims"), weak=True),),
        kind="claims",
        data=claim_groups(run.claims),
        short="Claims",
    )


def claim_groups(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Claims in natural order of their ids, each with its rows, one a scorer."""
    ids = sorted({str(entry.get("id", "")) for entry in entries}, key=natural)
    groups = []
    for name in ids:
        rows = [entry for entry in entries if str(entry.get("id", "")) == name]
        rows.sort(key=lambda entry: _rank(str(entry.get("scorer", ""))))
        first = rows[0]
        groups.append(
            {
                "id": name,
                "title": str(first.get("title", "")),
                "statement": str(first.get("statement", "")),
                "tally": _tally(rows),
                "rows": [claim_row(entry) for entry in rows],
            }
        )
    return groups


def natural(name: str) -> list[Any]:
    """Sort key by which C2 comes before C10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _rank(scorer: str) -> tuple[int, str]:
    order = list(words.SCORERS)
    return (order.index(scorer) if scorer in order else len(order), scorer)


def _tally(rows: list[dict[str, Any]]) -> str:
    if len(rows) < 2:
        return ""
    held = sum(entry.get("verdict") == "supported" for entry in rows)
    return f"supported with {held} of {len(rows)} scorers"


def claim_row(entry: dict[str, Any]) -> dict[str, str]:
    """One verdict in words: scorer, verdict, mark, tone, effect, unit, interval, p, n, control, sentence."""
    verdict = str(entry.get("verdict", "inconclusive"))
    unit = str(entry.get("unit") or "")
    if unit in SHARE_UNITS and entry.get("id") in DIFFERENCES:
        unit = "points"
    effect, low, high = (effect_text(entry.get(key), unit) for key in ("effect", "low", "high"))
    name = str(entry.get("scorer") or "")
    return {
        "scorer": words.scorer(name) if name else "No scorer needed",
        "verdict": verdict,
        "mark": words.VERDICTS.get(verdict, "?"),
        "tone": verdict.replace(" ", "-") if verdict in words.VERDICTS else "inconclusive",
        "effect": effect,
        "unit": unit_text(unit),
        "interval": words.interval(low, high),
        "p": words.p_value(entry.get("p")),
        "n": words.count(entry.get("n")),
        "control": str(entry.get("control") or words.MISSING),
        "sentence": str(entry.get("sentence") or ""),
    }


def effect_text(value: object, unit: str) -> str:
    """A claim's effect: shares as per cent, differences of accuracy as points, anything else as it is."""
    if unit in SHARE_UNITS:
        return words.percent(value)
    if unit in POINT_UNITS:
        return words.points(value)
    return words.number(value)


def unit_text(unit: str) -> str:
    """The unit as written behind an effect."""
    if unit in SHARE_UNITS:
        return ""
    return "points" if unit in POINT_UNITS else unit


def glossary_section(run: Run) -> Section:
    """Ten words, and the eight functions."""
    functions = [
        {"title": TITLES[name], "meaning": MEANINGS[name], "spatial": name in FUNCTIONS[:2]} for name in FUNCTIONS
    ]
    return Section(
        id="words",
        title="Words used in this report",
        intro="The few terms that everything below relies on, and the eight functions that steps are sorted into.",
        kind="glossary",
        data={"terms": GLOSSARY, "functions": functions},
        short="Words used",
    )
