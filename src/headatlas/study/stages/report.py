"""Stages `examples`, `claims` and `report`, which read results tables and cached answers only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.heads import HeadSet
from headatlas.intervention import Condition, ablate, random_sets
from headatlas.pictures import encode
from headatlas.report import render_report
from headatlas.report.registry import SECTIONS
from headatlas.storage import safe_name, write_whole
from headatlas.study.claims import LEVEL, judge
from headatlas.study.claims.base import CLAIMS
from headatlas.study.stages.base import STAGES, stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

EDITS = {"mean": "replaced by their mean", "zero": "set to zero", "scale": "scaled by 0.001"}
"""What the operations of `ablate` do to heads, in words."""


@stage("examples", command="report", needs=("data", "capture", "score", "select", "ablate"), version=2)
def examples(study: Study) -> None:
    """Write results/examples.json and the pictures it names: for each judged scorer, answers before and after its strongest
    spatial edit, and after the same edit of the first random head set."""
    shown = []
    for scorer in study.judged:
        shown += _of_scorer(study, scorer)
    study.run.write_json("results/examples.json", shown)


@stage("claims", command="report", needs=("select", "ablate", "steer", "activate"), uses=lambda study: codes(CLAIMS))
def claims(study: Study) -> None:
    """Write claims.json."""
    verdicts = judge(study.run.read_table, study.judged, study.one_task)
    study.run.write_json("claims.json", {"claims": [claim.to_json() for claim in verdicts], "level": LEVEL})


@stage(
    "report",
    needs=("evaluate", "methods", "positive_control", "claims", "examples", "look", "towers"),
    uses=lambda study: codes(SECTIONS),
)
def report(study: Study) -> None:
    """Write timings.json, charts/ and report.html."""
    study.run.write_json("timings.json", study.run.timings(tuple(STAGES)))
    render_report(study.run.root)


def _of_scorer(study: Study, scorer: str) -> list[dict[str, Any]]:
    """The examples of one scorer; none if it has no spatial heads."""
    row = _strongest(study, scorer)
    if row is None:
        return []
    settings, runner = study.settings, study.runner()
    operation, function = settings.operation, str(row["function"])
    heads = study.head_set(function, scorer)
    functional = {head for name in FUNCTIONS for head in study.head_set(name, scorer)}
    # Drawn as the controls of `ablate` are, so that the first set is one of them.
    drawn = random_sets(
        heads, study.vlm.heads.shape, settings.n_random, match="layer", rng=settings.seed, exclude=functional
    )
    random = drawn[0] if drawn else None
    before, after = runner.baseline("E"), runner.run(_condition(study, heads), "E")
    control = None if random is None else runner.run(_condition(study, random), "E")
    kinds = kinds_of_change(before, after, control)
    chosen = choose_examples(before, kinds, settings.n_examples)
    counts = {
        "n_questions": len(kinds),
        "n_only_spatial": int(kinds["only_spatial"].sum()),
        "n_random_changed": None if control is None else int(kinds["random_changed"].sum()),
    }
    questions, shown = study.data.split("E"), []
    at = {identity: i for i, identity in enumerate(questions.ids)}
    for identity in chosen:
        question = questions[at[identity]]
        picture = f"examples/{safe_name(identity)}.png" if question.images else ""
        if picture:
            write_whole(study.run.root / picture, encode(question.images[0]))
        about = {
            "scorer": scorer, "heads_of": function, "heads": str(heads), "random_heads": "" if random is None else str(random),
            "edit": EDITS.get(operation, f"ablated by {operation!r}"), "selected": bool(kinds["only_spatial"][identity]),
            **counts,
        }  # fmt: skip
        shown.append({**_example(question, picture, before, after, control), **about})
    return shown


def _condition(study: Study, heads: HeadSet) -> Condition:
    return Condition(f"examples: {heads}", (ablate(heads, study.settings.operation, study.means),))


def _strongest(study: Study, scorer: str) -> pd.Series | None:
    """The row of negative.csv of the scorer's spatial head set whose removal cost its function most."""
    table = study.run.read_table("negative")
    if not len(table):
        return None
    table = table[table["function"].isin(SPATIAL) & (table["operation"] == study.settings.operation) & (table["k"] > 0)]
    table = table[table["scorer"] == scorer]
    return table.loc[table["drop"].idxmax()] if len(table) else None


def kinds_of_change(before: pd.DataFrame, after: pd.DataFrame, control: pd.DataFrame | None) -> pd.DataFrame:
    """What an edit does to each question, from answers tables of the same steps.

    Returns:
        One row for each question. `only_spatial`: every step was right, at least one spatial step became wrong, all others
        stayed right, and under the control (if any) all are right. `random_changed`: the control made a right step wrong.
    """
    was, now = before["correct"].to_numpy(bool), after["correct"].to_numpy(bool)
    spatial = before["function"].isin(SPATIAL).to_numpy(bool)
    kept = np.ones(len(before), bool) if control is None else control["correct"].to_numpy(bool)
    steps = pd.DataFrame(
        {"all_right": was & kept, "broke": spatial & ~now, "rest": spatial | now, "changed": was & ~kept}
    )
    found = steps.groupby(before["question"].to_numpy(), sort=False).agg(
        {"all_right": "all", "broke": "any", "rest": "all", "changed": "any"}
    )
    only = found["all_right"] & found["broke"] & found["rest"]
    return pd.DataFrame({"only_spatial": only, "random_changed": found["changed"]})


def choose_examples(before: pd.DataFrame, kinds: pd.DataFrame, n: int) -> list[str]:
    """Ids of `n` questions: up to half in which only spatial steps break, of different types first; the rest in plain order."""
    family = before.groupby("question", sort=False)["family"].first()
    clean = [q for q in kinds.index if kinds["only_spatial"][q]]
    repeated = family[clean].duplicated().to_numpy() if clean else np.zeros(0, bool)
    ordered = [q for q, again in zip(clean, repeated, strict=True) if not again]
    ordered += [q for q, again in zip(clean, repeated, strict=True) if again]
    first = ordered[: (n + 1) // 2]
    return first + [q for q in kinds.index if q not in set(first)][: n - len(first)]


def _example(
    question: Any, picture: str, before: pd.DataFrame, after: pd.DataFrame, control: pd.DataFrame | None
) -> dict[str, Any]:
    def own(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["question"] == question.id]

    was, now, other = own(before), own(after), None if control is None else own(control)
    steps = [
        {
            "text": step.text,
            "function": step.function,
            "gold": step.answer,
            "before": str(was.iloc[i]["text"]),
            "after": str(now.iloc[i]["text"]),
            "random": None if other is None else str(other.iloc[i]["text"]),
            "correct_before": bool(was.iloc[i]["correct"]),
            "correct_after": bool(now.iloc[i]["correct"]),
            "correct_random": None if other is None else bool(other.iloc[i]["correct"]),
        }
        for i, step in enumerate(question.steps)
    ]
    return {
        "question": question.id, "image": picture, "text": question.text, "answer": question.answer, "steps": steps,
    }  # fmt: skip
