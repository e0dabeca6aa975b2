"""Stages `examples`, `claims` and `report`, which read results tables and cached answers only."""

from __future__ import annotations

from typing import Any

import pandas as pd

from headatlas.cogvsr.functions import SPATIAL, TITLES
from headatlas.intervention import Condition, ablate
from headatlas.pictures import encode
from headatlas.report import render_report
from headatlas.report.registry import SECTIONS
from headatlas.storage import safe_name, write_whole
from headatlas.study.claims import LEVEL, judge
from headatlas.study.claims.base import CLAIMS
from headatlas.study.stages.base import STAGES, stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study


@stage("examples", command="report", needs=("data", "capture", "score", "select"))
def examples(study: Study) -> None:
    """Write results/examples.json and the pictures it names: answers before and after the strongest spatial edit."""
    edit = _strongest(study)
    if edit is None:
        study.run.write_json("results/examples.json", [])
        return
    words, condition = edit
    runner = study.runner()
    before, after = runner.baseline("E"), runner.run(condition, "E")
    questions = study.data.split("E")
    shown = []
    for identity in _chosen(before, after, study.settings.n_examples):
        question = next(questions[i] for i in range(len(questions)) if questions.ids[i] == identity)
        picture = f"examples/{safe_name(identity)}.png" if question.images else ""
        if picture:
            write_whole(study.run.root / picture, encode(question.images[0]))
        shown.append(_example(question, picture, words, before, after))
    study.run.write_json("results/examples.json", shown)


@stage("claims", command="report", needs=("select", "ablate", "steer", "activate"), uses=lambda study: codes(CLAIMS))
def claims(study: Study) -> None:
    """Write claims.json."""
    verdicts = judge(study.run.read_table, study.judged)
    study.run.write_json("claims.json", {"claims": [claim.to_json() for claim in verdicts], "level": LEVEL})


@stage(
    "report", needs=("evaluate", "methods", "claims", "examples", "look", "towers"), uses=lambda study: codes(SECTIONS)
)
def report(study: Study) -> None:
    """Write timings.json, charts/ and report.html."""
    study.run.write_json("timings.json", study.run.timings(tuple(STAGES)))
    render_report(study.run.root)


def _strongest(study: Study) -> tuple[str, Condition] | None:
    """The spatial head set whose removal costs its function most, in words and as a condition."""
    table = study.run.read_table("negative")
    if not len(table):
        return None
    operation = study.settings.operation
    table = table[table["function"].isin(SPATIAL) & (table["operation"] == operation) & (table["k"] > 0)]
    if not len(table):
        return None
    row = table.loc[table["drop"].idxmax()]
    heads = study.head_set(row["function"], row["scorer"])
    words = {"mean": "replaced by their mean", "zero": "set to zero", "scale": "scaled by 0.001"}.get(
        operation, f"ablated by {operation!r}"
    )
    name = f"heads {row['heads']} ({TITLES[row['function']].lower()}) {words}"
    return name, Condition(name, (ablate(heads, operation, study.means),))


def _chosen(before: pd.DataFrame, after: pd.DataFrame, n: int) -> list[str]:
    """Questions of different types, none chosen by hand: half of them the most changed ones, half the first ones."""
    changed = (before["text"] != after["text"]).groupby(before["question"], sort=False).sum()
    family = before.groupby("question", sort=False)["family"].first()
    order = changed.sort_values(ascending=False, kind="stable").index
    most = order[~family[order].duplicated().to_numpy()][: (n + 1) // 2]
    plain = [q for q in changed.index if q not in set(most)][: n - len(most)]
    return [*most, *plain]


def _example(question: Any, picture: str, words: str, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    was, now = before[before["question"] == question.id], after[after["question"] == question.id]
    steps = [
        {
            "text": step.text,
            "function": step.function,
            "gold": step.answer,
            "before": str(was.iloc[i]["text"]),
            "after": str(now.iloc[i]["text"]),
            "correct_before": bool(was.iloc[i]["correct"]),
            "correct_after": bool(now.iloc[i]["correct"]),
        }
        for i, step in enumerate(question.steps)
    ]
    asked = {"question": question.id, "image": picture, "text": question.text, "answer": question.answer}
    return {**asked, "edit": words, "steps": steps}
