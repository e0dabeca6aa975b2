"""The answers of many conditions, computed from one bare pass for each batch (`engine.sweep`).

The arrays of the sweep are kept; a condition's answers table is built on demand. It differs from the bare model's table only in
the answers, and the same text for the same step is parsed only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from headatlas.answers.parsing import parse
from headatlas.cogvsr.schema import Question
from headatlas.engine import Sweep, sweep
from headatlas.engine.edits import Edits
from headatlas.progress import Progress, part
from headatlas.vlm.chat import Arm, conversations
from headatlas.vlm.data import Questions, windows
from headatlas.vlm.evaluate import is_right, rows_of, table
from headatlas.vlm.model import VLM

WINDOW = 512
"""Questions whose images are in memory at a time."""


class WindowAnswers:
    """The answers of C conditions to a window of questions, as arrays."""

    def __init__(self, questions: Sequence[Question], found: Sweep) -> None:
        """`questions` need no images; `found` is the sweep over their conversations."""
        self._questions, self._found = questions, found
        self._known: dict[tuple[int, str, bool], tuple[Any, bool]] = {}  # (parsed, correct) of step, text, ended

    @cached_property
    def _bare(self) -> pd.DataFrame:
        logprob, _, text = self._found.bare
        ended = self._found.ended_in(-1)
        records: list[dict[str, Any]] = []
        at = 0
        for question in self._questions:
            some = slice(at, at + len(question.steps))
            records += rows_of(question, text[some], logprob[some].tolist(), ended[some])
            at = some.stop
        self._known |= {(i, row["text"], ended[i]): (row["parsed"], row["correct"]) for i, row in enumerate(records)}
        return table(records)

    def table(self, condition: int) -> pd.DataFrame:
        """The answers table of one condition."""
        bare = self._bare
        steps = [step for question in self._questions for step in question.steps]
        texts, ended = self._found.text[condition], self._found.ended_in(condition)
        for i, (text, end) in enumerate(zip(texts, ended, strict=True)):
            if (i, text, end) not in self._known:
                parsed = parse(text, steps[i].answer_type, steps[i].options)
                self._known[i, text, end] = parsed, is_right(text, steps[i], end)
        read = [self._known[i, text, end] for i, (text, end) in enumerate(zip(texts, ended, strict=True))]
        parsed = [one for one, _ in read]
        return bare.assign(
            text=texts,
            parsed=parsed,
            correct=[right for _, right in read],
            unparsable=[one is None for one in parsed],
            logprob=self._found.logprob[condition],
        )


class ConditionAnswers(Sequence[pd.DataFrame]):
    """The answers of C conditions to a dataset: a sequence of answers tables, each built when it is asked for."""

    def __init__(self, windows: Sequence[WindowAnswers], n: int) -> None:
        self._windows, self._n = windows, n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, condition: Any) -> Any:
        if isinstance(condition, slice):
            return [self[i] for i in range(*condition.indices(self._n))]
        if not -self._n <= condition < self._n:
            raise IndexError(f"condition must be in 0..{self._n - 1}, got {condition}")
        tables = [window.table(condition % self._n) for window in self._windows]
        return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)

    def __repr__(self) -> str:
        return f"ConditionAnswers({self._n} conditions)"


def answer_conditions(
    vlm: VLM,
    questions: Questions,
    conditions: Sequence[Edits],
    scope: str = "all",
    batch_size: int = 32,
    arm: Arm | None = None,
    progress: Progress | None = None,
) -> ConditionAnswers:
    """The answers (forced mode, gold context) of each condition, as `evaluate` under its edits gives them.

    In the scopes `answer` and `last` every step is edited alone, see `engine.sweep`. Arguments and errors as there and in
    `vlm.evaluate`.
    """
    done, parts = 0, []
    for window in windows(questions, WINDOW):
        chats = conversations(window, arm)
        total = len(questions) * len(conditions)
        result = sweep(vlm, chats, conditions, scope, batch_size, part(progress, "sweep", total, done))
        done += len(window) * len(conditions)
        parts.append(WindowAnswers([question.model_copy(update={"images": ()}) for question in window], result))
    return ConditionAnswers(parts, len(conditions))
