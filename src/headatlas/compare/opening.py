"""The opening paragraph of a comparison, generated from its numbers. Sentences whose numbers are missing are left out."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.sections.claims import natural
from headatlas.report.tables import Run, only, records

LEVEL = 0.05


def opening(run: Run) -> list[str]:
    """The sentences of the opening paragraph, in order."""
    sentences = (_ability(run), _claims(run), _likeness(run))
    return [sentence for sentence in sentences if sentence]


def _ability(run: Run) -> str:
    rows = only(run.tables["accuracy"], group_kind="final", context="own")
    shares = [f"{row.model} {words.percent(row.accuracy)}" for row in records(rows) if words.known(row.accuracy)]
    return f"Right final answers, with the model's own earlier answers: {words.listing(shares)}." if shares else ""


def _claims(run: Run) -> str:
    frame = run.tables["claims"]
    everywhere, nowhere, mixed = [], [], []
    for name in sorted(set(frame["id"]), key=natural):
        verdicts = only(frame, id=name)["verdict"]
        supported = int((verdicts == "supported").sum())
        (everywhere if supported == len(verdicts) else mixed if supported else nowhere).append(str(name))
    parts = [
        f"{words.listing(ids)} {'is' if len(ids) == 1 else 'are'} supported {how}"
        for ids, how in (
            (everywhere, "in every model with every scorer"),
            (mixed, "in some models or with some scorers"),
            (nowhere, "nowhere"),
        )
        if ids
    ]
    return f"Of the paper's claims, {'; '.join(parts)}." if parts else ""


def _likeness(run: Run) -> str:
    frame = run.tables["likeness"]
    parts = []
    for what, name in (
        ("functions", "functions share heads in the same pattern"),
        ("profile_distance", "functions lie at the same depth"),
        ("damage_pairs", "silencing heads damages the same functions"),
    ):
        rows = only(frame, what=what, function="")
        rows = rows[rows["p"].notna()]
        if len(rows):
            parts.append(f"{name} in {_share(rows)}")
    if not parts:
        return ""
    return f"Models are more alike than by chance (q at most {LEVEL}), in pairs of models and scorers: {words.listing(parts)}."


def _share(rows: pd.DataFrame) -> str:
    return f"{int((rows['q'] <= LEVEL).sum())} of {len(rows)}"
