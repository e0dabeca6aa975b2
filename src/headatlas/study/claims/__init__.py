"""The paper's claims, each with its verdict here: judged from `RUN/results/` alone, once per scorer where heads are involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from headatlas.study.claims import heads, effects  # noqa: F401  (they register)
from headatlas.study.claims.base import RULES, Claim, Q, Tables


def judge(read: Callable[[str], pd.DataFrame], scorers: Sequence[str]) -> list[Claim]:
    """Return every claim's verdict; `read(name)` gives a results table, empty if it is absent."""
    tables = Tables(read)
    return [rule.judge(tables, scorer) for rule in RULES for scorer in (scorers if rule.per_scorer else ("",))]


__all__ = ["RULES", "Claim", "Q", "judge"]
