"""Write the final dataset of a review, with the provenance of every step.

A question is in the final dataset if all of its steps are decided and its chain still ends in its answer. Every other question
is listed with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from headatlas.annotate.review.agreement import agreement
from headatlas.annotate.review.decide import Decision, Rule, decide, decide_whole
from headatlas.annotate.review.votes import WHOLE, Vote, VoteStore
from headatlas.cogvsr.schema import Question, Step
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.printing import brief
from headatlas.storage import beside


@dataclass
class Reviewed:
    """The result of a review."""

    steps: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    """The final steps by question id, for the questions in the final dataset."""
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    """(question id, state, why) of all other questions; the state is open, undecided or dropped."""
    provenance: list[dict[str, Any]] = field(default_factory=list)
    """One record for every step of the dataset, kept or not: its original and final form, why, and every vote on it."""

    __repr__ = brief


def review_result(data: CogVSR, store: VoteStore, rule: Rule) -> Reviewed:
    """Decide every step of `data` by its votes."""
    result = Reviewed()
    current, cast = _by_question(store.votes()), _by_question(store.history())
    for question in data.without_images():
        votes, history = current.get(question.id, []), cast.get(question.id, [])
        decisions = [decide(s, [v for v in votes if v.step == i], rule) for i, s in enumerate(question.steps)]
        whole = decide_whole(votes, rule)
        state, why = _state(decisions, whole)
        if state == "kept":
            result.steps[question.id] = tuple(d.step for d in decisions if d.step is not None)
        else:
            result.left_out.append((question.id, state, why))
        result.provenance += _records(question, decisions, whole, state == "kept", history)
    return result


def export(data: CogVSR, store: VoteStore, out: str | Path, rule: Rule) -> Reviewed:
    """Write the final dataset to the folder `out`, and its provenance to the folder `out` with ".review" appended.

    The second folder holds `provenance.jsonl` (one record per step: original and final form, decision, all votes with name and
    time), `left_out.csv` (question, state, why) and `agreement.csv`.

    Raises:
        HeadAtlasError: no question is decided, or the votes cannot be read.
    """
    out = Path(out)
    result = review_result(data, store, rule)
    folder = beside(out, ".review")
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in result.provenance)
    left = pd.DataFrame(result.left_out, columns=["question", "state", "why"])
    texts = {
        "provenance.jsonl": lines,
        "left_out.csv": left.to_csv(index=False),
        "agreement.csv": agreement(store.votes(), rule).to_csv(index=False),
    }
    for name, text in texts.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
    if not result.steps:
        states = left["state"].value_counts()
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        raise HeadAtlasError(
            f"no question is in the final dataset ({counts}; reasons in {folder / 'left_out.csv'}): a step needs "
            f"{rule.min_votes} votes (--min-votes) of which {rule.share:.0%} agree (--share), or an adjudicator"
        )
    data.with_steps(result.steps, out)
    return result


def _by_question(votes: list[Vote]) -> dict[str, list[Vote]]:
    by_question: dict[str, list[Vote]] = {}
    for vote in votes:
        by_question.setdefault(vote.question, []).append(vote)
    return by_question


def _state(decisions: list[Decision], whole: Decision | None) -> tuple[str, str]:
    if whole is not None:
        return whole.state, whole.why
    for state in ("undecided", "open"):
        for i, decision in enumerate(decisions):
            if decision.state == state:
                return state, f"step {i + 1}: {decision.why}"
    if decisions[-1].state == "dropped":
        return "dropped", f"its last step, which gives the answer, was {decisions[-1].why}"
    return "kept", "all steps decided"


def _records(
    question: Question, decisions: list[Decision], whole: Decision | None, kept: bool, history: list[Vote]
) -> list[dict[str, Any]]:
    records = []
    number = 0
    for i, (step, decision) in enumerate(zip(question.steps, decisions, strict=True)):
        final = decision.step
        before, after = step.model_dump(mode="json"), final.model_dump(mode="json") if final else None
        changed = [name for name in before if after is not None and before[name] != after[name]]
        votes = [v.model_dump(mode="json", exclude={"question", "id"}) for v in history if v.step in (i, WHOLE)]
        records.append(
            {
                "question": question.id,
                "step": i,
                "final_step": number if kept and final else None,
                "state": decision.state,
                "why": decision.why,
                "whole_question": whole.why if whole else "",
                "changed": changed,
                "original": before,
                "final": after,
                "votes": votes,
            }
        )
        number += final is not None
    return records
