"""Claims on effects: SHA improves spatial accuracy (C4), removing spatial heads degrades it (C5a), steering improves it (C5b).

C5a and C5b are about both spatial functions and hold only if each does: an intersection-union test, whose level needs no
correction for there being two. Their effect, interval and p are those of the weaker function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL, TITLES
from headatlas.study.claims.base import (
    LEVEL,
    MIN_DRAWS,
    Claim,
    Part,
    Tables,
    beaten_by_draws,
    bounds,
    claim,
    overall,
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
            f"With boxes and masks the spatial steps are {percent(row['accuracy'])} right, a change of {points(row['gain'])} "
            f"({bounds(row['low'], row['high'])}); compared with random boxes it is {points(row['beyond'])} "
            f"({bounds(row['beyond_low'], row['beyond_high'])}); {percent(row['unparsable'])} of the answers were unparsable"
        )
        text += "" if known else "; the control was not run"
        verdict = verdict_of(row["low"], row["high"], 0.0, "above", _with_spread(row, row["p"], beaten))
        parts = [Part(text, verdict, row["gain"], row["low"], row["high"], row["beyond_p"], int(row["n"]))]
    return _over(
        "C4", "Activation improves",
        "Spatial head activation (boxes drawn, detected regions masked) improves spatial accuracy.", "", control, parts,
    )  # fmt: skip


@claim("C5a")
def removing_degrades(tables: Tables, scorer: str) -> Claim:
    """Both spatial functions lose accuracy without their heads, and more than under 95 % of random sets."""
    parts = []
    for function in SPATIAL:
        rows = tables.of("negative", scorer=scorer, function=function)
        rows = rows[rows["k"] > 0]
        controlled = rows[rows["n_random"] > 0]
        if not len(rows):
            reason = f"{TITLES[function]} has no heads to remove by {tables.title(scorer)}"
            parts.append(Part(reason, "not testable here"))
        else:
            parts.append(_removed((controlled if len(controlled) else rows).iloc[0]))
    return _over(
        "C5a", "Removing degrades",
        "Removing a spatial function's heads degrades it more than removing as many random heads.", scorer,
        "random head sets of the same size in the same layers, on the same questions", parts,
    )  # fmt: skip


@claim("C5b")
def emphasising_improves(tables: Tables, scorer: str) -> Claim:
    """Both spatial functions gain by steering, and more than under 95 % of random directions."""
    parts = []
    for function in SPATIAL:
        row = tables.one("positive", scorer=scorer, function=function, arm="steer")
        control = tables.one("positive", scorer=scorer, function=function, arm="random_direction")
        if row is not None:
            parts.append(_steered(row, control))
            continue
        why = tables.one("steering", scorer=scorer, function=function)
        reason = "not run" if why is None else str(why["reason"] or "not run")
        parts.append(Part(f"{TITLES[function]} could not be steered: {reason}", "not testable here"))
    return _over(
        "C5b", "Emphasising improves", "Steering a spatial function's heads toward right answers improves it.", scorer,
        "random directions of equal norm in the same heads, on the same questions", parts,
    )  # fmt: skip


def _removed(row: pd.Series) -> Part:
    draws = int(row["n_random"])
    text = (
        f"without its {int(row['k'])} heads {TITLES[row['function']]} changes by {points(-row['drop'])} "
        f"({bounds(-row['high'], -row['low'])})"
    )
    if draws:
        text += (
            f", and by {points(-row['random_drop'])} without as many random heads ({points(-row['random_high'])} to "
            f"{points(-row['random_low'])} over {draws} sets)"
        )
    text += f"; {percent(row['unparsable_after'])} unparsable" + _too_few(draws, "random sets")
    beaten = _with_spread(row, row["p_mcnemar"], beaten_by_draws(row["p"], draws))
    verdict = verdict_of(row["low"], row["high"], 0.0, "above", beaten)
    return Part(text, verdict, row["drop"], row["low"], row["high"], row["p"], int(row["n"]))


def _steered(row: pd.Series, control: pd.Series | None) -> Part:
    draws, p = (0, math.nan) if control is None else (int(control["n_draws"]), float(control["p"]))
    text = (
        f"steered at alpha {row['alpha']:g}, {TITLES[row['function']]} changes by {points(row['gain'])} "
        f"({bounds(row['low'], row['high'])})"
    )
    if control is not None:
        text += f", and by {points(control['gain'])} along {draws} random directions"
    text += f"; other functions change by {points(row['off_task_gain'])}" + _too_few(draws, "random directions")
    verdict = verdict_of(row["low"], row["high"], 0.0, "above", _with_spread(row, row["p"], beaten_by_draws(p, draws)))
    return Part(text, verdict, row["gain"], row["low"], row["high"], p, int(row["n"]))


def _with_spread(row: pd.Series, p: float, beaten: bool | None) -> bool | None:
    """`beaten`, but False where the interval has no width and McNemar's test does not exclude chance.

    If all steps change alike, resampling them gives an interval without width from however few questions.
    """
    return False if beaten and row["high"] == row["low"] and not p <= LEVEL else beaten


def _too_few(draws: int, what: str) -> str:
    return "" if draws >= MIN_DRAWS else f"; {draws} {what} are too few for p <= {LEVEL:g} ({MIN_DRAWS} are needed)"


def _over(identity: str, title: str, statement: str, scorer: str, control: str, parts: Sequence[Part]) -> Claim:
    """One verdict over the parts of a claim."""
    measured = [part for part in parts if math.isfinite(part.effect)]
    weakest = min(measured, key=lambda part: part.effect) if measured else Part("", "not testable here")
    known = [part.p for part in measured if math.isfinite(part.p)]
    sentence = "; ".join(part.text for part in parts) + "."
    return Claim(
        id=identity,
        title=title,
        statement=statement,
        scorer=scorer,
        verdict=overall(part.verdict for part in parts),
        effect=float(weakest.effect) if measured else None,
        unit="share",
        low=float(weakest.low) if measured else None,
        high=float(weakest.high) if measured else None,
        p=float(max(known)) if known else None,
        n=sum(part.n for part in measured),
        control=control,
        sentence=sentence[:1].upper() + sentence[1:],
    )
