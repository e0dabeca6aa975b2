"""The comparison's opening paragraph, put together from its own numbers. A sentence whose numbers are missing is left out."""

from __future__ import annotations

import pandas as pd

from headatlas.report import words
from headatlas.report.sections.claims import natural
from headatlas.report.tables import Run, only, records

LEVEL = 0.05


def summarise(run: Run) -> list[str]:
    """The sentences, in order."""
    made = (_ability(run), _claims(run), _likeness(run))
    return [sentence for sentence in made if sentence]


def _ability(run: Run) -> str:
    rows = only(run.tables["accuracy"], group_kind="final", context="own")
    told = [f"{row.model} {words.percent(row.accuracy)}" for row in records(rows) if words.known(row.accuracy)]
    return f"Final answers right, with the model's own earlier answers: {words.listing(told)}." if told else ""


def _claims(run: Run) -> str:
    frame = run.tables["claims"]
    everywhere, nowhere, mixed = [], [], []
    for name in sorted(set(frame["id"]), key=natural):
        verdicts = only(frame, id=name)["verdict"]
        held = int((verdicts == "supported").sum())
        (everywhere if held == len(verdicts) else mixed if held else nowhere).append(str(name))
    parts = [
        f"{words.listing(ids)} {'holds' if len(ids) == 1 else 'hold'} {how}"
        for ids, how in (
            (everywhere, "in every model with every scorer"),
            (mixed, "in some models or with some scorers only"),
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
        ("damage_pairs", "silencing heads breaks the same functions"),
    ):
        rows = only(frame, what=what, function="")
        rows = rows[rows["p"].notna()]
        if len(rows):
            parts.append(f"{name} in {_share(rows)}")
    if not parts:
        return ""
    return (
        f"More alike than chance (q at most {LEVEL}), counted over pairs of models and scorers: {words.listing(parts)}."
    )


def _share(rows: pd.DataFrame) -> str:
    return f"{int((rows['q'] <= LEVEL).sum())} of {len(rows)}"
