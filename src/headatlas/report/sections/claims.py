"""The verdicts on the paper's claims, as `claims.json` gives them."""

from __future__ import annotations

import math
import re
from typing import Any

from headatlas.report import words
from headatlas.report.page import Gauge, Note, Section
from headatlas.report.registry import section
from headatlas.report.tables import Run

SHARE_UNITS = {"share", "shares"}
DIFFERENCES = {"C4", "C5a", "C5b"}
"""Claims whose effect is one accuracy minus another: shown in points even where the unit says `share`."""
POINT_UNITS = {"accuracy", "points", "percentage points", "drop", "gain", "pp"}


@section("claims", order=10)
def claims_section(run: Run) -> Section:
    """The claims, one group each, one row for each scorer."""
    level = f" The control counts as beaten at p ≤ {words.number(run.level, 2)}." if run.level is not None else ""
    return Section(
        id="claims",
        title="What the paper claims, and what was found here",
        intro="Each claim of the paper is tested on this model, once for each way of finding heads (“scorer”). "
        "A claim is supported if the 95 % interval of its effect (in brackets) lies wholly on the claimed side and the effect "
        "beats its control. It is contradicted if the interval lies wholly on the other side. "
        f"The claims of one scorer are tested together, so p is adjusted over them.{level}",
        blocks=() if run.claims else (Note(run.why("claims"), weak=True),),
        kind="claims",
        data=claim_groups(run.claims),
        short="Claims",
    )


def claim_groups(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Claims in the natural order of their ids, each with one row for each scorer."""
    ids = sorted({str(entry.get("id", "")) for entry in entries}, key=natural)
    groups = []
    for name in ids:
        rows = [entry for entry in entries if str(entry.get("id", "")) == name]
        order = words.scorers_in_order(str(entry.get("scorer", "")) for entry in rows)
        rows.sort(key=lambda entry: order.index(str(entry.get("scorer", ""))))
        first = rows[0]
        groups.append(
            {
                "id": name,
                "title": str(first.get("title", "")),
                "statement": str(first.get("statement", "")),
                "tally": _tally(rows),
                "rows": [
                    {
                        **claim_row(entry),
                        "name": str(entry.get("scorer") or ""),
                        "gauge": gauge,
                        "tested": words.known(entry.get("effect")) or not entry.get("sentence"),
                    }
                    for entry, gauge in zip(rows, _gauges(rows), strict=True)
                ],
            }
        )
    return groups


def _gauges(rows: list[dict[str, Any]]) -> list[Gauge | None]:
    """The effect of each row with its interval, on one axis for the whole claim."""
    keys = ("effect", "low", "high")
    ends = [float(entry[key]) for entry in rows for key in keys if words.known(entry.get(key))]
    if not ends:
        return [None] * len(rows)
    pad = 0.05 * (max(*ends, 0.0) - min(*ends, 0.0)) or 1.0
    low_end, high_end = min(*ends, 0.0) - pad, max(*ends, 0.0) + pad
    gauges: list[Gauge | None] = []
    for entry in rows:
        value, low, high = (float(entry[key]) if words.known(entry.get(key)) else math.nan for key in keys)
        row = claim_row(entry)
        label = f"{row['effect']} {row['unit']}, 95 % interval {row['interval'] or 'not known'}"
        gauge = Gauge(low_end, high_end, value, label, low, high, bound=_bound(entry))
        gauges.append(gauge if math.isfinite(value) else None)
    return gauges


def _bound(entry: dict[str, Any]) -> float:
    """What the parts' intervals are compared with; 0 if no part says so."""
    parts = [part for part in entry.get("parts") or [] if isinstance(part, dict)]
    return next((float(part["bound"]) for part in parts if words.known(part.get("bound")) and part.get("bound")), 0.0)


def natural(name: str) -> list[Any]:
    """Sort key that puts C2 before C10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _tally(rows: list[dict[str, Any]]) -> str:
    if len(rows) < 2:
        return ""
    supported = sum(entry.get("verdict") == "supported" for entry in rows)
    return f"supported with {supported} of {len(rows)} scorers"


def claim_row(entry: dict[str, Any]) -> dict[str, str]:
    """One verdict in words: scorer, verdict, mark, tone, effect, unit, interval, p, n, control, sentence.

    p is the one that the verdict uses: `q`, adjusted over the claims of the scorer, where the entry has it.
    """
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
        "p": words.p_value(entry.get("q", entry.get("p"))),
        "n": words.count(entry.get("n")),
        "control": str(entry.get("control") or words.MISSING),
        "sentence": str(entry.get("sentence") or ""),
    }


def effect_text(value: object, unit: str) -> str:
    """The effect of a claim: shares as per cent, differences of accuracy as points, anything else as a plain number."""
    if unit in SHARE_UNITS:
        return words.percent(value)
    if unit in POINT_UNITS:
        return words.points(value)
    return words.number(value)


def unit_text(unit: str) -> str:
    """The unit as written after an effect."""
    if unit in SHARE_UNITS:
        return ""
    return "points" if unit in POINT_UNITS else unit
