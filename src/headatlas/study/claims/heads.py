"""Claims on the heads themselves: they are sparse (C1), vary in number and place (C2), and spatial ones are fewest (C3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.formatting import signed
from headatlas.intervention.concentration import FORM, MOST, SPARSE
from headatlas.study.claims.base import (
    MIN_DRAWS,
    Claim,
    Part,
    Tables,
    claim,
    combine,
    overall,
    percent,
    verdict_of,
)

LEAST_DAMAGE = 0.05
"""If the lower bound of the damage of removing all heads is below this, the model is too near chance to test the claim."""


@claim("C1")
def sparse(tables: Tables, scorer: str) -> Claim:
    """Removing a function's best heads, 10 % of all, does three quarters of the damage of removing all heads."""
    rows = tables.of("concentration", scorer=scorer)
    rows = rows[rows["share"] <= SPARSE]
    parts = [_few(rows[rows["function"] == function], function, tables.titles) for function in FUNCTIONS]
    measured = [part for part in parts if math.isfinite(part.effect)]
    missing = [tables.titles[part.function] for part in parts if part not in measured]
    sentence = f"No ranking by {tables.title(scorer)} was ablated, so there is nothing to judge."
    if measured:
        sentence = (
            f"Share of the damage of removing all heads that the best {_heads(rows)} by {tables.title(scorer)} do alone (sparse: "
            f"at least {percent(MOST)} for every function): " + "; ".join(part.text for part in measured)
        )
        sentence += f"; nothing to test for {', '.join(missing)}." if missing else "."
    return combine(
        "C1", "Sparse", "Every cognitive function is served by a small share of all heads (reported: less than 9 %).", scorer,
        "random sets of as many heads, from any layer", "share of the damage", parts, sentence,
    )  # fmt: skip


def _heads(rows: pd.DataFrame) -> str:
    row = rows.loc[rows["k"].idxmax()]
    return f"{int(row['k'])} heads ({percent(row['share'])} of all)"


def _few(rows: pd.DataFrame, function: str, titles: Mapping[str, str]) -> Part:
    if not len(rows):
        return Part("", "not testable here", function)
    row = rows.loc[rows["k"].idxmax()]
    if not row["all_low"] > LEAST_DAMAGE or not math.isfinite(row["ratio"]):
        # If removing all heads costs nothing, there is no damage to compare with.
        return Part("", "not testable here", function)
    text = (
        f"{titles[function]} {percent(row['ratio'])} ({percent(row['low'])} to {percent(row['high'])}; random heads "
        f"{percent(row['random_ratio'])})"
    )
    beaten = None
    if row["n_random"] >= MIN_DRAWS:
        # Heads whose removal makes answers unreadable serve the form of answers, not the function.
        beaten = bool(row["beyond_low"] > 0 and row["form"] <= FORM)
        text += "" if row["form"] <= FORM else f", but {percent(row['form'])} of the lost answers are unreadable"
    verdict = verdict_of(row["low"], row["high"], MOST, "above", beaten)
    if verdict == "contradicted":
        # A few other heads may still do it: a poor ranking does not contradict the claim.
        verdict = "inconclusive"
    return Part(text, verdict, function, row["ratio"], row["low"], row["high"], n=int(row["n"]), bound=MOST)


@claim("C2")
def varied(tables: Tables, scorer: str) -> Claim:
    """Functions differ in where their heads are and in how many they have, more than one function does in other scenes."""
    place, number = (tables.one("counts", scorer=scorer, what=what) for what in ("place", "number"))
    who = tables.title(scorer)
    if place is None or number is None:
        sentence = (
            f"By {who}, fewer than three functions have heads in both halves of the scenes and in most resamples, so there is "
            "nothing to compare."
        )
        parts = [Part("", "not testable here")]
    else:
        sentence = (
            f"By {who}, one function's heads in two halves of the scenes have a Jaccard index {signed(place['value'], 2)} "
            f"above that of two functions' heads ({signed(place['low'], 2)} to {signed(place['high'], 2)}). Two functions "
            f"differ by {signed(number['value'])} heads more than two resamples of one function ({signed(number['low'])} to "
            f"{signed(number['high'])})."
        )
        # The effect shown is that of place, because numbers of heads are in another unit.
        parts = [_above_zero(place), _above_zero(number)]
    judged = combine(
        "C2", "Varied in number and place", "The heads of different functions differ in number and in place.", scorer,
        "the same function's heads in other scenes", "Jaccard index", parts[:1], sentence,
    )  # fmt: skip
    return _with_parts(judged, parts)


def _above_zero(row: pd.Series) -> Part:
    value, low, high = (float(row[key]) for key in ("value", "low", "high"))
    return Part(str(row["what"]), verdict_of(low, high, 0.0, "above"), "", value, low, high, n=int(row["n"]))


def _with_parts(made: Claim, parts: list[Part]) -> Claim:
    return replace(made, parts=tuple(parts), verdict=overall(part.verdict for part in parts))


@claim("C3")
def spatial_fewest(tables: Tables, scorer: str) -> Claim:
    """Spatial functions have fewer heads than the others, at equal numbers of steps, selected again in each resample."""
    row = tables.one("counts", scorer=scorer, what="spatial_minus_other")
    who = tables.title(scorer)
    if row is None:
        sentence = (
            f"By {who}, no spatial function or no other function has heads in most resamples with equally many steps, or there "
            "are no scores per step, so there is nothing to compare."
        )
        parts = [Part("", "not testable here")]
    else:
        value, low, high, p = (float(row[key]) for key in ("value", "low", "high", "p"))
        sentence = (
            f"By {who}, with equally many steps of every function, a spatial function has on average {signed(value)} heads "
            f"compared with another function (95 % interval {signed(low)} to {signed(high)})."
        )
        parts = [Part("", verdict_of(low, high, 0.0, "below"), "", value, low, high, p, int(row["n"]))]
    return combine(
        "C3", "Spatial heads fewest", "Spatial heads are the fewest of all functional heads.", scorer,
        "other functions' counts, at equal numbers of steps", "heads", parts, sentence,
    )  # fmt: skip
