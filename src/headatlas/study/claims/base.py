"""What a claim's verdict is made of, and the registry of claims.

Knows results tables, by name, and nothing of how they came about: whoever has `RUN/results/` can recompute every verdict.
A claim is supported when its 95 % interval lies wholly on the claimed side of its bound and its control is beaten at p <= 0.05;
not supported when the interval lies wholly on the other side; inconclusive otherwise, or when there is nothing to test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

Verdict = Literal["supported", "not supported", "inconclusive"]
Q = 0.05
"""Level of every test."""

SCORER_NAMES = {"paper": "the paper's probe", "linear": "the linear probe", "ablation": "exact ablation"}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, judged by the heads of one scorer ("" where no scorer is involved).

    `effect` and its 95 % interval `low`..`high` are in `unit`; `p` is one-sided against the named control, or
    of the paired test where the control is a range; `n` counts steps, or step-function pairs for claims on heads.
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

    def to_json(self) -> dict[str, Any]:
        """As in claims.json: NaN becomes null."""
        known = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in known.items()}


@dataclass(frozen=True)
class Tables:
    """Reads results tables; an absent one is empty."""

    read: Callable[[str], pd.DataFrame]

    def of(self, name: str, **where: Any) -> pd.DataFrame:
        """The rows of a table in which each named column has the given value."""
        table = self.read(name)
        for column, value in where.items():
            table = table[table[column] == value] if column in table else table.iloc[:0]
        return table

    def one(self, name: str, **where: Any) -> pd.Series | None:
        """The only such row, None if there is none."""
        rows = self.of(name, **where)
        return rows.iloc[0] if len(rows) else None


Judge = Callable[[Tables, str], Claim]
"""`judge(tables, scorer) -> Claim`."""


@dataclass(frozen=True)
class Rule:
    """A registered claim; `per_scorer` False is judged once, with scorer ""."""

    id: str
    judge: Judge
    per_scorer: bool


RULES: list[Rule] = []


def claim(identity: str, *, per_scorer: bool = True) -> Callable[[Judge], Judge]:
    """Decorator that registers a claim; claims stand in the order in which they are registered."""

    def register(judge: Judge) -> Judge:
        RULES.append(Rule(identity, judge, per_scorer))
        return judge

    return register


def verdict_of(
    low: float, high: float, bound: float, claimed: Literal["above", "below"], beaten: bool = True
) -> Verdict:
    """The verdict for an interval, the bound it is held against, and whether the control is beaten."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "inconclusive"
    inside = low > bound if claimed == "above" else high < bound
    outside = high < bound if claimed == "above" else low > bound
    if inside and beaten:
        return "supported"
    return "not supported" if outside or (inside and not beaten) else "inconclusive"


def percent(value: float) -> str:
    """A share as "12.3 %"."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares as "+12.3 points"."""
    return f"{100 * value:+.1f} points"
