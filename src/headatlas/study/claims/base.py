"""Claims: their record, the rules of their verdicts, and their registry.

Claims read results tables only, so every verdict can be recomputed from `RUN/results/`. A part of a claim (one function) is

* *contradicted* if its 95 % interval lies wholly on the other side of the claim's bound;
* *not testable here* if there is no interval, or if its control cannot be beaten whatever the effect;
* *supported* if its interval lies wholly on the claimed side and its control is beaten at p <= 0.05;
* *inconclusive* otherwise.

A claim about several functions is contradicted if one part is, not testable here if one part is not testable, and supported only
if all parts are. This is an intersection-union test, whose level needs no correction for the number of functions; its p is the
largest of the parts. The claims of one scorer are corrected together: a claim whose p, adjusted over them (Benjamini-Hochberg),
is above 0.05 is inconclusive instead of supported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from headatlas import formatting
from headatlas.cogvsr.functions import TITLES
from headatlas.formatting import percent
from headatlas.printing import brief
from headatlas.registry import Registry
from headatlas.results import RESULTS, VERDICTS
from headatlas.stats import benjamini_hochberg

Verdict = Literal["supported", "contradicted", "inconclusive", "not testable here"]

LEVEL = 0.05
"""Level of every test."""

MIN_DRAWS = 39
"""A claim needs at least this many draws of its control: with 39 the smallest p is 1 / 40, with fewer than 19 it is above
`LEVEL`."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, judged by the heads of one scorer ("" if it is not about heads).

    `effect` and its 95 % interval `low`..`high` are in `unit`; over several functions they are those of the function with the
    weakest case. `p` is the largest of the functions' and `q` is p adjusted over the claims of the scorer, by which the verdict
    is reached. `n` counts steps, or pairs of a step and a function for claims on heads. `parts` are the functions' own numbers.
    """

    id: str
    title: str
    statement: str
    scorer: str
    verdict: Verdict
    effect: float | None
    unit: str
    low: float | None
    high: float | None
    p: float | None
    n: int
    control: str
    sentence: str
    q: float | None = None
    parts: tuple[Part, ...] = ()

    __repr__ = brief

    def to_json(self) -> dict[str, Any]:
        """As in claims.json: NaN becomes null."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Part:
    """One part of a claim, such as one function: its numbers, its verdict and a clause for the claim's sentence."""

    text: str
    verdict: Verdict
    function: str = ""
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    n: int = 0
    bound: float = 0.0
    """What the interval is compared with."""


@dataclass(frozen=True)
class Tables:
    """Reads results tables; a table that was not written has no rows."""

    read: Callable[[str], pd.DataFrame]
    titles: Mapping[str, str] = field(default_factory=lambda: TITLES)
    """The functions' names for people."""

    def of(self, name: str, **where: Any) -> pd.DataFrame:
        """The rows of a table in which each named column has the given value, or one of the given values."""
        table = self.read(name)
        if not len(table.columns):
            table = RESULTS[name].empty()
        for column, value in where.items():
            table = table[table[column].isin([value] if isinstance(value, (str, int, float)) else list(value))]
        return table

    def one(self, name: str, **where: Any) -> pd.Series | None:
        """The first such row, None if there is none."""
        rows = self.of(name, **where)
        return rows.iloc[0] if len(rows) else None

    def title(self, scorer: str) -> str:
        """The scorer's name for people, as the study noted it; its plain name if it did not."""
        row = self.one("scorers", scorer=scorer)
        return scorer if row is None else str(row["title"])


Judge = Callable[[Tables, str], Claim]
"""`judge(tables, scorer) -> Claim`."""


@dataclass(frozen=True)
class Rule:
    """A registered claim; `per_scorer` False: it is judged once, with scorer ""."""

    id: str
    judge: Judge
    per_scorer: bool


CLAIMS: Registry[Rule] = Registry("claim", ("headatlas.study.claims.*",))
"""All claims by id. A new one is a function with `@claim("C6")` in a new file here, or in another package."""


def claim(identity: str, *, per_scorer: bool = True) -> Callable[[Judge], Judge]:
    """Decorator that registers a claim under its id."""

    def register(judge: Judge) -> Judge:
        CLAIMS.add(identity, Rule(identity, judge, per_scorer))
        return judge

    return register


def verdict_of(
    low: float, high: float, bound: float, claimed: Literal["above", "below"], beaten: bool | None = True
) -> Verdict:
    """The verdict on one part of a claim.

    Args:
        low, high: the 95 % interval; NaN where there is none.
        bound: what the interval is compared with.
        claimed: the side of the bound on which the interval should lie.
        beaten: whether the control is beaten at `LEVEL`; None if there are too few controls for that.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not testable here"
    if (high < bound) if claimed == "above" else (low > bound):
        return "contradicted"
    if beaten is None:
        return "not testable here"
    inside = low > bound if claimed == "above" else high < bound
    return "supported" if inside and beaten else "inconclusive"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim from those on its parts; without parts it is not testable."""
    seen = set(verdicts)
    order: tuple[Verdict, ...] = ("contradicted", "not testable here", "inconclusive")
    for verdict in order:
        if verdict in seen:
            return verdict
    return "supported" if seen else "not testable here"


def beaten_by_draws(p: float, draws: int) -> bool | None:
    """Whether a control of `draws` random draws is beaten at `LEVEL`; None if there are too few draws for that."""
    if draws < MIN_DRAWS or not math.isfinite(p):
        return None
    return bool(p <= LEVEL)


def corrected(claims: Sequence[Claim]) -> list[Claim]:
    """The claims with `q`, adjusted over those of the same scorer, by which "supported" may become "inconclusive"."""
    out = []
    for one in claims:
        family = [other.p for other in claims if other.scorer == one.scorer and other.p is not None]
        if one.p is None:
            out.append(one)
            continue
        q = float(benjamini_hochberg(np.array(family))[family.index(one.p)])
        fails = one.verdict == "supported" and q > LEVEL
        sentence = one.sentence
        if fails:
            sentence += (
                f" Adjusted over {len(family)} claims, p = {one.p:.2g} becomes {q:.2g}, which is above {LEVEL:g}."
            )
        out.append(replace(one, q=q, verdict="inconclusive" if fails else one.verdict, sentence=sentence))
    return out


def untestable(one: Claim) -> Claim:
    """The claim for questions that do not name their functions: what it says about functions is not testable.

    The numbers of the task stay in the sentence; p is dropped, so that it does not count among the tests of its scorer.
    """
    sentence = "The questions do not say which functions they need, so this claim is not testable here."
    measured = [part.text for part in one.parts if math.isfinite(part.effect) and part.text]
    if measured and one.scorer:
        found = "; ".join(measured)
        sentence += f" {found[:1].upper()}{found[1:]}."
    return replace(one, verdict="not testable here", p=None, sentence=sentence)


def combine(
    identity: str, title: str, statement: str, scorer: str, control: str, unit: str, parts: Sequence[Part],
    sentence: str = "", largest: bool = False,
) -> Claim:  # fmt: skip
    """One claim over its parts, whose numbers are those of the weakest part.

    Args:
        identity, title, statement, scorer, control, unit: of the claim.
        parts: one for each function.
        sentence: the finding in words; by default the parts' texts.
        largest: whether the weakest part is the one with the largest effect instead of the smallest.
    """
    measured = [part for part in parts if math.isfinite(part.effect)]
    choose = max if largest else min
    weakest = choose(measured, key=lambda part: part.effect) if measured else Part("", "not testable here")
    known = [part.p for part in measured if math.isfinite(part.p)]
    sentence = sentence or "; ".join(part.text for part in parts if part.text) + "."
    return Claim(
        id=identity,
        title=title,
        statement=statement,
        scorer=scorer,
        verdict=overall(part.verdict for part in parts),
        effect=float(weakest.effect) if measured else None,
        unit=unit,
        low=float(weakest.low) if measured else None,
        high=float(weakest.high) if measured else None,
        p=float(max(known)) if known else None,
        n=sum(part.n for part in measured),
        control=control,
        sentence=sentence[:1].upper() + sentence[1:],
        parts=tuple(parts),
    )


def points(value: float) -> str:
    """A difference of shares as "+12.3 points"."""
    return f"{formatting.points(value)} points" if formatting.known(value) else formatting.MISSING


def bounds(low: float, high: float) -> str:
    """The interval of a difference of shares in words."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    return f"95 % interval {formatting.points(low)} to {formatting.points(high)}"


__all__ = [
    "CLAIMS", "LEVEL", "MIN_DRAWS", "VERDICTS", "Claim", "Judge", "Part", "Rule", "Tables", "Verdict", "beaten_by_draws",
    "bounds", "claim", "combine", "corrected", "overall", "percent", "points", "verdict_of",
]  # fmt: skip
