"""Claims on effects: SHA improves spatial accuracy (C4), removing spatial heads degrades it (C5a), steering improves it (C5b).

C5a and C5b are about both spatial functions and hold only if they hold for each. For C5a the drop must not only exceed that of
random heads, but also be larger than in other functions, and remain among the answers that can still be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL
from headatlas.study.claims.base import (
    LEVEL,
    MIN_DRAWS,
    Claim,
    Part,
    Tables,
    beaten_by_draws,
    bounds,
    claim,
    combine,
    percent,
    points,
    verdict_of,
)

ARM = "boxes+mask"
"""The paper's way of activating spatial heads."""


@claim("C4", per_scorer=False)
def activation_improves(tables: Tables, scorer: str) -> Claim:
    """Boxes and masks gain on the spatial steps, and gain more than the arm's control; both are paired differences."""
    row = tables.one("activation", arm=ARM, group="spatial")
    if row is None:
        parts, control = (
            [Part("The arms were not run", "not testable here")],
            "boxes of the same sizes at random places",
        )
    else:
        control = "boxes of the same sizes at random places, on the same steps"
        known = math.isfinite(row["beyond_low"]) and math.isfinite(row["beyond_high"])
        beaten = bool(row["beyond_low"] > 0 and row["beyond_p"] <= LEVEL) if known else None
        text = (
            f"With boxes and masks, {percent(row['accuracy'])} of the spatial steps are right, a change of {points(row['gain'])} "
            f"({bounds(row['low'], row['high'])}); compared with random boxes, the change is {points(row['beyond'])} "
            f"({bounds(row['beyond_low'], row['beyond_high'])}); {percent(row['unparsable'])} of the answers were unparsable"
        )
        text += "" if known else "; the control was not run"
        verdict = verdict_of(row["low"], row["high"], 0.0, "above", _with_spread(row, row["p"], beaten))
        parts = [Part(text, verdict, "", row["gain"], row["low"], row["high"], row["beyond_p"], int(row["n"]))]
    return combine(
        "C4", "Activation improves",
        "Spatial head activation (boxes drawn, detected regions masked) improves spatial accuracy.", "", control, "share", parts,
    )  # fmt: skip


@claim("C5a")
def removing_degrades(tables: Tables, scorer: str) -> Claim:
    """Both spatial functions lose accuracy without their heads: more than under random sets, more than other functions do, and
    among the answers that can be read."""
    parts = []
    for function in SPATIAL:
        rows = tables.of("negative", scorer=scorer, function=function)
        rows = rows[rows["k"] > 0]
        controlled = rows[rows["n_random"] > 0]
        if not len(rows):
            reason = f"{tables.titles[function]} has no heads to remove by {tables.title(scorer)}"
            parts.append(Part(reason, "not testable here", function))
        else:
            parts.append(_removed((controlled if len(controlled) else rows).iloc[0], tables.titles))
    return combine(
        "C5a", "Removing degrades",
        "Removing a spatial function's heads degrades it, more than removing as many random heads and more than other functions.",
        scorer, "random sets of as many heads, on the same questions", "share", parts,
    )  # fmt: skip


@claim("C5b")
def emphasising_improves(tables: Tables, scorer: str) -> Claim:
    """Both spatial functions gain by steering, and more than under 95 % of random directions."""
    parts = []
    for function in SPATIAL:
        row = tables.one("positive", scorer=scorer, function=function, arm="steer")
        control = tables.one("positive", scorer=scorer, function=function, arm="random_direction")
        if row is not None:
            parts.append(_steered(row, control, tables.titles))
            continue
        why = tables.one("steering", scorer=scorer, function=function)
        reason = "not run" if why is None else str(why["reason"] or "not run")
        parts.append(Part(f"{tables.titles[function]} could not be steered: {reason}", "not testable here"))
    return combine(
        "C5b", "Emphasising improves", "Steering a spatial function's heads toward right answers improves it.", scorer,
        "random directions of equal norm in the same heads, on the same questions", "share", parts,
    )  # fmt: skip


def _removed(row: pd.Series, titles: Mapping[str, str]) -> Part:
    draws = int(row["n_random"])
    text = (
        f"without its {int(row['k'])} heads {titles[row['function']]} changes by {points(-row['drop'])} "
        f"({bounds(-row['high'], -row['low'])})"
    )
    if draws:
        text += (
            f"; compared with {draws} random sets ({row['match']}) on the same questions by {points(-row['beyond'])} "
            f"({bounds(-row['beyond_high'], -row['beyond_low'])}); compared with other functions by {points(-row['specific'])} "
            f"({bounds(-row['specific_high'], -row['specific_low'])})"
        )
    text += (
        f"; among readable answers by {points(-row['parsable_drop'])}, {percent(row['unparsable_after'])} unreadable"
    )
    text += _too_few(draws, "random sets")
    beaten = _with_spread(row, row["p_mcnemar"], beaten_by_draws(row["p"], draws))
    if beaten:
        # Every condition must hold; one that could not be measured does not.
        beaten = bool(row["low"] > 0 and row["specific_low"] > 0 and row["parsable_low"] > 0)
    low, high = (row["beyond_low"], row["beyond_high"]) if draws else (row["low"], row["high"])
    effect = row["beyond"] if draws else row["drop"]
    verdict = verdict_of(low, high, 0.0, "above", beaten)
    return Part(text, verdict, str(row["function"]), effect, low, high, row["p"], int(row["n"]))


def _steered(row: pd.Series, control: pd.Series | None, titles: Mapping[str, str]) -> Part:
    draws, p = (0, math.nan) if control is None else (int(control["n_draws"]), float(control["p"]))
    text = (
        f"steered at alpha {row['alpha']:g}, {titles[row['function']]} changes by {points(row['gain'])} "
        f"({bounds(row['low'], row['high'])})"
    )
    if control is not None:
        text += f", and by {points(control['gain'])} along {draws} random directions"
    text += f"; other functions change by {points(row['off_task_gain'])}" + _too_few(draws, "random directions")
    verdict = verdict_of(row["low"], row["high"], 0.0, "above", _with_spread(row, row["p"], beaten_by_draws(p, draws)))
    return Part(text, verdict, str(row["function"]), row["gain"], row["low"], row["high"], p, int(row["n"]))


def _with_spread(row: pd.Series, p: float, beaten: bool | None) -> bool | None:
    """`beaten`, but False if the interval has no width and McNemar's test does not exclude chance.

    If all steps change in the same way, resampling them gives an interval without width, even from very few questions.
    """
    return False if beaten and row["high"] == row["low"] and not p <= LEVEL else beaten


def _too_few(draws: int, what: str) -> str:
    return "" if draws >= MIN_DRAWS else f"; {draws} {what} are too few for p <= {LEVEL:g} ({MIN_DRAWS} are needed)"
