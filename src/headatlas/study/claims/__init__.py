"""The paper's claims and their verdicts, computed only from `RUN/results/`, once per scorer if they are about heads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL, TASK_TITLE, TITLES
from headatlas.study.claims.base import CLAIMS, LEVEL, Claim, Tables, claim, corrected, untestable


def judge(read: Callable[[str], pd.DataFrame], scorers: Sequence[str], one_task: bool = False) -> list[Claim]:
    """Every claim's verdict, in the natural order of their ids.

    Args:
        read: gives a results table by name; one without rows if it was not written.
        scorers: names of the study's scorers.
        one_task: whether the questions do not name their functions. Claims on functions are then not testable.
    """
    tables = Tables(read, {**TITLES, SPATIAL[0]: TASK_TITLE} if one_task else TITLES)
    rules = sorted(CLAIMS.values(), key=lambda rule: _natural(rule.id))
    judged = [rule.judge(tables, scorer) for rule in rules for scorer in (scorers if rule.per_scorer else ("",))]
    return corrected([untestable(one) for one in judged] if one_task else judged)


def _natural(identity: str) -> list[tuple[int, str]]:
    """Sort key by which C2 comes before C10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", identity)]


__all__ = ["CLAIMS", "LEVEL", "Claim", "claim", "judge"]
