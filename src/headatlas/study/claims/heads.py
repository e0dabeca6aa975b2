"""Claims on the heads themselves: sparse (C1), varying in number and place (C2), spatial ones fewest (C3)."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.study.claims.base import Claim, Part, Tables, claim, overall, percent, verdict_of

SPARSE = 0.1
"""Largest share of all heads that a sparse function may have; the paper reports less than 9 %."""

SAME = 0.5
"""Chance-corrected Jaccard index from which two functions' heads count as the same place."""


@claim("C1")
def sparse(tables: Tables, scorer: str) -> Claim:
    """Each function's selected heads are fewer than 10 % of all heads."""
    rows = tables.of("counts", scorer=scorer, what="share")
    parts = [_share(rows, function) for function in FUNCTIONS]
    measured = [part for part in parts if math.isfinite(part.effect)]
    who = tables.title(scorer)
    if measured:
        missing = [TITLES[name] for name, part in zip(FUNCTIONS, parts, strict=True) if part not in measured]
        sentence = (
            f"Share of all heads by {who} (sparse would be below {percent(SPARSE)} for every function): "
            + "; ".join(part.text for part in measured)
            + (f"; no heads, so nothing to test, for {', '.join(missing)}" if missing else "")
            + "."
        )
        worst = max(measured, key=lambda part: part.high if math.isfinite(part.high) else part.effect)
    else:
        sentence, worst = f"No head was selected by {who}, so there is no share to judge.", None
    return Claim(
        id="C1",
        title="Sparse",
        statement="Every cognitive function is served by a small share of all heads (reported: less than 9 %).",
        scorer=scorer,
        verdict=overall(part.verdict for part in parts),
        effect=worst.effect if worst else None,
        unit="share",
        low=worst.low if worst else None,
        high=worst.high if worst else None,
        p=None,
        n=worst.n if worst else 0,
        control=f"a bound of {SPARSE:.0%} of all heads",
        sentence=sentence,
    )


def _share(rows: pd.DataFrame, function: str) -> Part:
    row = rows[rows["function"] == function]
    if not len(row) or not row.iloc[0]["value"] > 0:
        # A share of 0 is for want of evidence, not for sparseness.
        return Part("", "not testable here")
    value, low, high = (float(row.iloc[0][key]) for key in ("value", "low", "high"))
    text = f"{TITLES[function]} {percent(value)} ({percent(low)} to {percent(high)})"
    return Part(text, verdict_of(low, high, SPARSE, "below"), value, low, high, n=int(row.iloc[0]["n"]))


@claim("C2")
def varied(tables: Tables, scorer: str) -> Claim:
    """Functions differ in where their heads are (overlap below one half) and in how many they have."""
    overlap, spread = (tables.one("counts", scorer=scorer, what=what) for what in ("overlap", "spread"))
    who = tables.title(scorer)
    if overlap is None or spread is None or not math.isfinite(overlap["value"]):
        overlap, many = None, None
        sentence = f"Fewer than two functions have heads by {who}, so there is nothing to compare."
    else:
        many = bool(spread["low"] > 0)
        sentence = (
            f"By {who}, two functions' heads overlap by {overlap['value']:.2f} on average (chance-corrected Jaccard, 0 is "
            f"chance, 1 the same heads; interval {overlap['low']:.2f} to {overlap['high']:.2f}), and the largest set has "
            f"{spread['value']:.0f} heads more than the smallest ({spread['low']:.0f} to {spread['high']:.0f})."
        )
    return _claim(
        "C2", "Varied in number and place", "The heads of different functions differ in number and in place.", scorer,
        overlap, "overlap", SAME, "overlap expected by chance for sets of these sizes", sentence, many,
    )  # fmt: skip


@claim("C3")
def spatial_fewest(tables: Tables, scorer: str) -> Claim:
    """Spatial functions have fewer heads than the others, at equal numbers of steps."""
    row = tables.one("counts", scorer=scorer, what="spatial_minus_other")
    who = tables.title(scorer)
    if row is None:
        sentence = f"No head was selected by {who}, or it gives no per-step scores, so there is nothing to compare."
    else:
        sentence = (
            f"By {who}, with equally many steps of every function, a spatial function has {row['value']:+.1f} heads compared "
            f"with another function on average (95 % interval {row['low']:+.1f} to {row['high']:+.1f})."
        )
    return _claim(
        "C3", "Spatial heads fewest", "Spatial heads are the fewest of all functional heads.", scorer, row, "heads", 0.0,
        "other functions' counts, at equal numbers of steps", sentence,
    )  # fmt: skip


def _claim(
    identity: str, title: str, statement: str, scorer: str, row: pd.Series | None, unit: str, bound: float, control: str,
    sentence: str, beaten: bool | None = True, claimed: Literal["above", "below"] = "below",
) -> Claim:  # fmt: skip
    """A claim on one row of counts.csv."""
    if row is None:
        return Claim(
            identity, title, statement, scorer, "not testable here", None, unit, None, None, None, 0, control, sentence
        )
    value, low, high, p = (float(row[key]) for key in ("value", "low", "high", "p"))
    verdict = verdict_of(low, high, bound, claimed, beaten)
    return Claim(
        identity, title, statement, scorer, verdict, value, unit, low, high, p, int(row["n"]), control, sentence
    )
