"""Answers tables of many conditions at once, off one bare pass a batch (`engine.sweep`).

Knows the answers table and the engine; knows no cache. A condition's table differs from the bare model's in what was said,
so only that is made anew, and an answer that was parsed once is not parsed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from headatlas.cogvsr.parsing import matches, parse
from headatlas.cogvsr.schema import Question
from headatlas.engine import Sweep, sweep
from headatlas.engine.edits import Edits
from headatlas.vlm.chat import Arm, conversations
from headatlas.vlm.data import Questions, windows
from headatlas.vlm.evaluate import rows_of, table
from headatlas.vlm.model import VLM

WINDOW = 512
"""Questions whose images are in memory at a time."""


def answers_together(
    vlm: VLM,
    questions: Questions,
    conditions: Sequence[Edits],
    scope: str = "all",
    batch_size: int = 32,
    arm: Arm | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[pd.DataFrame]:
    """The answers table (forced mode, gold context) of each condition, as `evaluate` under its edits gives it.

    In the scopes `answer` and `last` every step is edited alone, see `engine.sweep`. Arguments and errors as there and in
    `vlm.evaluate`.
    """
    parts: list[list[pd.DataFrame]] = [[] for _ in conditions]
    for window in windows(questions, WINDOW):
        chats = conversations(window, arm)
        found = sweep(vlm, chats, conditions, scope, batch_size, progress)
        for part, made in zip(parts, tables(window, found), strict=True):
            part.append(made)
    return [part[0] if len(part) == 1 else pd.concat(part, ignore_index=True) for part in parts]


def tables(questions: Sequence[Question], found: Sweep) -> list[pd.DataFrame]:
    """One answers table a condition of a sweep over these questions."""
    steps = [step for question in questions for step in question.steps]
    logprob, _, text = found.bare
    records: list[dict[str, Any]] = []
    at = 0
    for question in questions:
        some = slice(at, at + len(question.steps))
        records += rows_of(question, text[some], logprob[some].tolist())
        at = some.stop
    bare = table(records)
    known = {(i, row["text"]): (row["parsed"], row["correct"]) for i, row in enumerate(records)}
    made = []
    for c, texts in enumerate(found.text):
        for i, said in enumerate(texts):
            if (i, said) not in known:
                step = steps[i]
                parsed = parse(said, step.answer_type, step.options)
                known[i, said] = parsed, matches(said, step.answer, step.answer_type, step.options)
        read = [known[i, said] for i, said in enumerate(texts)]
        parsed = [one for one, _ in read]
        made.append(
            bare.assign(
                text=texts,
                parsed=parsed,
                correct=[right for _, right in read],
                unparsable=[one is None for one in parsed],
                logprob=found.logprob[c],
            )
        )
    return made
