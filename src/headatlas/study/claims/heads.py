"""Claims on the heads themselves: sparse (C1), varying in number and place (C2), spatial ones fewest (C3)."""

from __future__ import annotations

import math
from typing import Literal

from headatlas.study.claims.base import SCORER_NAMES, Claim, Tables, claim, percent, verdict_of

SPARSE = 0.1
"""Share of heads a function may need at most to be called sparse; the paper reports less than 9 %."""

SAME = 0.5
"""Chance-corrected Jaccard index from which two functions' heads count as the same place."""


@claim("C1")
def sparse(tables: Tables, scorer: str) -> Claim:
    """A function's heads are few: share of heads selected, mean over functions, below 10 %."""
    row = tables.one("counts", scorer=scorer, what="share")
    statement = "Every cognitive function is served by a small share of all heads (reported: less than 9 %)."
    who = SCORER_NAMES.get(scorer, scorer)
    if row is None:
        sentence = f"Nothing was selected by {who}, so there is no share to judge."
        return _claim("C1", "Sparse", statement, scorer, None, "share", SPARSE, "below", sentence)
    sentence = (
        f"By {who}, a function has {percent(row['value'])} of all heads on average "
        f"(95 % interval {percent(row['low'])} to {percent(row['high'])}); sparse would be below {percent(SPARSE)}."
    )
    return _claim("C1", "Sparse", statement, scorer, row, "share", SPARSE, "below", sentence)


@claim("C2")
def varied(tables: Tables, scorer: str) -> Claim:
    """Functions differ in where their heads are (overlap below one half) and in how many they have."""
    statement = "The heads of different functions differ in number and in place."
    overlap, spread = (tables.one("counts", scorer=scorer, what=what) for what in ("overlap", "spread"))
    who = SCORER_NAMES.get(scorer, scorer)
    if overlap is None or spread is None or not math.isfinite(overlap["value"]):
        sentence = f"Fewer than two functions have heads by {who}, so there is nothing to compare."
        return _claim("C2", "Varied in number and place", statement, scorer, None, "overlap", SAME, "below", sentence)
    many = bool(spread["low"] > 0)
    sentence = (
        f"By {who}, two functions' heads overlap by {overlap['value']:.2f} on average (chance-corrected Jaccard, 0 is "
        f"chance, 1 the same heads; interval {overlap['low']:.2f} to {overlap['high']:.2f}), and the largest set has "
        f"{spread['value']:.0f} heads more than the smallest ({spread['low']:.0f} to {spread['high']:.0f})."
    )
    return _claim(
        "C2", "Varied in number and place", statement, scorer, overlap, "overlap", SAME, "below", sentence, beaten=many
    )


@claim("C3")
def spatial_fewest(tables: Tables, scorer: str) -> Claim:
    """Spatial functions have fewer heads than the others, at equal class sizes."""
    statement = "Spatial heads are the fewest of all functional heads."
    row = tables.one("counts", scorer=scorer, what="spatial_minus_other")
    who = SCORER_NAMES.get(scorer, scorer)
    if row is None:
        sentence = f"Nothing was selected by {who}, so there is nothing to count."
        return _claim("C3", "Spatial heads fewest", statement, scorer, None, "heads", 0.0, "below", sentence)
    sentence = (
        f"By {who}, with equally many steps of every function, a spatial function has {row['value']:+.1f} heads compared with "
        f"another function on average (95 % interval {row['low']:+.1f} to {row['high']:+.1f})."
    )
    return _claim("C3", "Spatial heads fewest", statement, scorer, row, "heads", 0.0, "below", sentence)


def _claim(
    identity: str, title: str, statement: str, scorer: str, row: object, unit: str, bound: float,
    claimed: Literal["above", "below"], sentence: str, beaten: bool = True,
) -> Claim:  # fmt: skip
    control = {
        "C1": f"a bound of {SPARSE:.0%} of heads; selection against permuted labels or sign flips",
        "C2": "overlap expected by chance for sets of these sizes",
        "C3": "other functions' counts, class sizes equalised",
    }[identity]
    if row is None:
        return Claim(
            identity, title, statement, scorer, "inconclusive", None, unit, None, None, None, 0, control, sentence
        )
    value, low, high, p, n = (float(row[key]) for key in ("value", "low", "high", "p", "n"))  # type: ignore[index]
    verdict = verdict_of(low, high, bound, claimed, beaten)
    return Claim(identity, title, statement, scorer, verdict, value, unit, low, high, p, int(n), control, sentence)
