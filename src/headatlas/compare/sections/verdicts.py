"""Which claims hold in which model: claim by model, one row for each scorer."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd

from headatlas.compare.figures import models_of
from headatlas.compare.registry import comparison_section
from headatlas.report import words
from headatlas.report.blocks import gap
from headatlas.report.page import Note, Section, Table
from headatlas.report.sections.claims import claim_row, natural
from headatlas.report.tables import Run, only, records


@comparison_section("claims", order=0)
def claims_section(run: Run) -> Section:
    """The verdicts of every model, side by side."""
    frame = run.tables["claims"]
    blocks: list[Any] = [*gap(run, "claims")]
    if len(frame):
        blocks += [*_after_correction(frame), _sentences(frame, models_of(run))]
    return Section(
        id="claims",
        title="Which claims hold where",
        intro="Each claim of the paper is tested in each model separately, once for each way of finding heads (“scorer”). A "
        "claim is supported if the 95 % interval of its effect (in brackets) lies wholly on the claimed side and the effect "
        "beats its control. p is that of the test; each study adjusts it over the claims of one scorer before it says "
        "“supported”; q is p adjusted over all tests in this table.",
        blocks=tuple(blocks),
        kind="verdicts",
        data={"models": _headers(run), "groups": _groups(frame, models_of(run))},
        short="Claims",
    )


def _headers(run: Run) -> list[dict[str, str]]:
    """Every model, with a link to its own report if that lies in a folder next to the page."""
    headers = []
    for row in records(run.tables["models"]):
        # The folder's name comes from a table: only a plain name of a folder here is followed.
        inside = row.run not in ("", ".", "..") and not set(row.run) & set("/\\\0")
        has_report = inside and (run.path / row.run / "report.html").is_file()
        headers.append({"name": row.model, "href": f"./{quote(row.run)}/report.html" if has_report else ""})
    return headers


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
        own = only(rows, model=model)
        entry = {str(key): value for key, value in own.iloc[0].items()} if len(own) else None
        cells.append(None if entry is None else {**claim_row(_without_q(entry)), "q": _q(entry["q"])})
    supported = int((rows["verdict"] == "supported").sum())
    scorer = str(rows["scorer"].iloc[0])
    return {
        "scorer": words.scorer(scorer) if scorer else "No scorer needed",
        "tally": f"supported in {supported} of {len(rows)}",
        "cells": cells,
    }


def _without_q(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with the p of its test; its q here is another one than that of a study."""
    return {key: value for key, value in entry.items() if key != "q"}


def _q(value: object) -> str:
    text = words.p_value(value)
    return "" if text == words.MISSING else text


def _after_correction(frame: pd.DataFrame) -> tuple[Note, ...]:
    uncertain = frame[(frame["verdict"] == "supported") & (frame["q"] > 0.05)]
    if uncertain.empty:
        return ()
    named = [
        f"{row.id} in {row.model}" + (f" with {words.scorer(row.scorer)}" if row.scorer else "")
        for row in records(uncertain)
    ]
    return (
        Note(
            f"Supported, but with q above 0.05, so possibly by chance among the many tests of this table: {words.listing(named)}."
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
