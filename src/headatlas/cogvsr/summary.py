"""Count the questions and steps of a dataset by split, question type, function and answer type, beside the paper's figures.

Shares are of all steps, 0..1. A step that needs several functions counts once, for its primary one. No image is read.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, TITLES
from headatlas.cogvsr.store import CogVSR

PAPER = {
    "questions": 1142,
    "steps": 3759,
    "functions": {"spatial_perception": (1026, 0.2729), "relational_reasoning": (576, 0.1532)},
}
"""CogVSR as reported for arXiv 2603.20662: counts and shares of steps; its other functions' figures are not public."""

COLUMNS = ("group", "name", "questions", "steps", "share", "paper_steps", "paper_share")


def summarize(data: CogVSR) -> pd.DataFrame:
    """Count a dataset; columns `COLUMNS`, one row for each value of each group.

    Groups: `all`, `source`, `split`, `family`, `function` (all eight, in their order), `answer_type` (of steps), `steps`
    (questions by how many steps they have), `image` (steps that need it or not). `share` is of all steps; `paper_*` is
    NaN where the paper gives nothing.
    """
    steps = data.steps()
    rows: list[tuple[Any, ...]] = [
        ("all", "", steps["question"].nunique(), len(steps), 1.0, PAPER["steps"], 1.0),
    ]

    def count(group: str, names: list[Any], key: pd.Series) -> None:
        for name in names:
            part = steps.loc[key == name]
            known = PAPER["functions"].get(str(name), (None, None)) if group == "function" else (None, None)
            label = str(name)
            rows.append((group, label, len(set(part["question"])), len(part), len(part) / len(steps), *known))

    for column in ("source", "split", "family", "function", "answer_type"):
        names = list(FUNCTIONS) if column == "function" else list(dict.fromkeys(steps[column]))
        count(column, names, steps[column])
    count("steps", sorted(set(steps["n_steps"])), steps["n_steps"])
    count("image", ["needed", "not needed"], steps["needs_image"].map({True: "needed", False: "not needed"}))
    table = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    return table.astype({"paper_steps": "float64", "paper_share": "float64"})


def to_dict(data: CogVSR) -> dict[str, Any]:
    """The summary as plain values for JSON: `{group: {name: {questions, steps, share, ...}}}`, and the fingerprint."""
    result: dict[str, Any] = {"name": data.name, "fingerprint": data.fingerprint}
    for row in summarize(data).to_dict("records"):
        cell = {key: row[key] for key in COLUMNS[2:] if pd.notna(row[key])}
        if row["group"] == "all":
            result["all"] = {**cell, "paper_questions": PAPER["questions"]}
        else:
            result.setdefault(str(row["group"]), {})[str(row["name"])] = cell
    return result


def title(group: str, name: str) -> str:
    """A row's name for people."""
    if group == "function":
        return TITLES[name]
    return {"all": "whole dataset", "steps": f"{name} steps", "image": f"image {name}"}.get(group, name or "(none)")
