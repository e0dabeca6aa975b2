"""Which claims hold where: claim by model, one row a scorer. Knows claims.csv."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd

from headatlas.compare.report.common import models_of
from headatlas.report import words
from headatlas.report.page import Note, Section, Table
from headatlas.report.sections.claims import claim_row, natural
from headatlas.report.sections.common import gap
from headatlas.report.tables import Run, only, records


def claims_section(run: Run) -> Section:
    """The verdicts of every model side by side."""
    frame = run.tables["claims"]
    blocks: list[Any] = [*gap(run, "claims")]
    if len(frame):
        blocks += [*_after_correction(frame), _sentences(frame, models_of(run))]
    return Section(
        id="claims",
        title="Which claims hold where",
        intro="Each claim of the paper is tested in each model by itself, once for each way of finding heads (“scorer”). A claim "
        "is supported only if its effect is clear and beats its control; the range in brackets is the 95 % interval. q is p "
        "corrected for all tests in this table. A finding that holds in one model and not in another is about that model.",
        blocks=tuple(blocks),
        kind="verdicts",
        data={"models": _headers(run), "groups": _groups(frame, models_of(run))},
        short="Claims",
    )


def _headers(run: Run) -> list[dict[str, str]]:
    """Every model, with a link to its own report where that lies beside the page."""
    found = []
    for row in records(run.tables["models"]):
        own = run.path / str(row.run) / "report.html"
        found.append(
            {"name": row.model, "href": f"./{quote(row.run)}/report.html" if row.run and own.is_file() else ""}
        )
    return found


def _groups(frame: pd.DataFrame, models: list[str]) -> list[dict[str, Any]]:
    groups = []
    for name in sorted(set(frame["id"]), key=natural):
        claim = only(frame, id=name)
        first = claim.iloc[0]
        rows = [_row(only(claim, scorer=scorer), models) for scorer in words.scorers_in_order(claim["scorer"])]
        groups.append({"id": name, "title": first["title"], "statement": first["statement"], "rows": rows})
    return groups


def _row(rows: pd.DataFrame, models: list[str]) -> dict[str, Any]:
    cells: list[dict[str, str] | None] = []
    for model in models:
        found = only(rows, model=model)
        entry = {str(key): value for key, value in found.iloc[0].items()} if len(found) else None
        cells.append(None if entry is None else {**claim_row(entry), "q": _q(entry["q"])})
    held = int((rows["verdict"] == "supported").sum())
    scorer = str(rows["scorer"].iloc[0])
    return {
        "scorer": words.scorer(scorer) if scorer else "No scorer needed",
        "tally": f"supported in {held} of {len(rows)}",
        "cells": cells,
    }


def _q(value: object) -> str:
    text = words.p_value(value)
    return "" if text == words.MISSING else text


def _after_correction(frame: pd.DataFrame) -> tuple[Note, ...]:
    lost = frame[(frame["verdict"] == "supported") & (frame["q"] > 0.05)]
    if lost.empty:
        return ()
    named = [
        f"{row.id} in {row.model}" + (f" by {words.scorer(row.scorer)}" if row.scorer else "") for row in records(lost)
    ]
    return (
        Note(
            f"Supported, but with q above 0.05 once all tests of this table are counted: {words.listing(named)}. "
            "Expect some of these by chance."
        ),
    )


def _sentences(frame: pd.DataFrame, models: list[str]) -> Table:
    place = {name: i for i, name in enumerate(models)}
    ordered = sorted(records(frame), key=lambda row: (natural(row.id), row.scorer, place.get(row.model, len(place))))
    return Table(
        columns=("Claim", "Heads found by", "Model", "Verdict", "Compared with", "In words"),
        rows=tuple(
            (
                f"{row.id} {row.title}",
                words.scorer(row.scorer) if row.scorer else "No scorer needed",
                row.model,
                row.verdict,
                row.control or words.MISSING,
                row.sentence,
            )
            for row in ordered
        ),
        title="Every verdict in words",
        n_text=6,
        folded=True,
    )
