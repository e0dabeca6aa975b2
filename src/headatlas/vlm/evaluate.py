"""Evaluate a VLM on questions: one row for each step, with the model's answer and whether it is right.

The answers table has the columns `COLUMNS`, with rows in the order of the questions. Every evaluation, edited or not, returns
such a table; `is_right` defines "right" for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from headatlas.answers.parsing import matches, parse
from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.vlm.batch import UnreadableError, encode
from headatlas.vlm.chat import Arm, Conversation, show
from headatlas.vlm.data import Questions, windows
from headatlas.vlm.generate import Answer
from headatlas.vlm.read import Refused, read
from headatlas.vlm.stepwise import gold_answers, own_answers

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM

COLUMNS = (
    "question",
    "step",
    "n_steps",
    "split",
    "family",
    "scene",
    "source",
    "kind",
    "function",
    "functions",
    "answer_type",
    "gold",
    "text",
    "parsed",
    "correct",
    "unparsable",
    "logprob",
)

log = logging.getLogger("headatlas")


def evaluate(
    vlm: VLM,
    questions: Questions,
    mode: str = "forced",
    context: str = "gold",
    batch_size: int = 32,
    arm: Arm | None = None,
    max_new_tokens: int = 16,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Let the model answer every step of every question, under its active edits.

    A question that the model's processor refuses (a picture of 400 x 1 pixels, an image token in the text) is left out: the log
    "headatlas" warns, and `table.attrs["refused"]` maps its id to the reason. `unreadable` finds such questions beforehand.

    Args:
        vlm: the model.
        questions: any collection of questions, such as a `CogVSR`, with and without images; read in windows, so that not all
            images are in memory at once.
        mode: `forced` reads all answers of a question off one teacher-forced pass (gold context only); `generate` decodes
            greedily.
        context: the earlier answers in a step's prompt: `gold`, or the model's `own` (needs `generate`).
        batch_size: conversations per forward pass.
        arm: how questions are shown: `arm(question) -> (images, preamble)`.
        max_new_tokens: tokens of a generated answer at most. An answer that does not end within it is not right.
        progress: called as `progress("evaluate", done, total)` in questions.

    Returns:
        The answers table, one row per step. `logprob` is that of the gold answer in gold context, NaN in own context, where
        it has none.

    Raises:
        HeadAtlasError: unknown mode or context, own context in forced mode, no questions, logits that are not finite, or a
            model that can read none of the questions.
    """
    if mode not in ("forced", "generate") or context not in ("gold", "own"):
        raise HeadAtlasError(
            f"mode must be 'forced' or 'generate' and context 'gold' or 'own', got {mode!r} and {context!r}"
        )
    if context == "own" and mode == "forced":
        raise HeadAtlasError("mode must be 'generate' in the model's own context, got 'forced'")
    if not len(questions):
        raise HeadAtlasError("questions must hold at least one question to evaluate, got an empty dataset")
    if vlm.by_row:
        raise HeadAtlasError("active edits must be the same for all rows in evaluate; use read or generate instead")
    records: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    done = 0
    for window in windows(questions, 16 * batch_size):
        shown = show(window, arm)

        def chat(i: int, upto: int | None = None, answers: Sequence[str] | None = None) -> Conversation:
            return shown[i].chat(upto, answers)  # noqa: B023

        steps = [len(question.steps) for question in window]
        refused: Refused = {}
        logprobs: list[list[float]] | None = None
        if context == "own":
            answers = own_answers(vlm, chat, steps, batch_size, max_new_tokens, refused)
        elif mode == "generate":
            answers, logprobs = gold_answers(vlm, chat, steps, batch_size, max_new_tokens, refused)
        else:
            readouts = read(vlm, [chat(i) for i in range(len(window))], batch_size, refused=refused)
            logprobs = [[readout.logprob for readout in row] for row in readouts]
            answers = [[Answer(readout.text, readout.ended) for readout in row] for row in readouts]
        for i, question in enumerate(window):
            if i in refused:
                reasons[question.id] = refused[i]
                continue
            texts, ended = [answer.text for answer in answers[i]], [answer.ended for answer in answers[i]]
            records += rows_of(question, texts, None if logprobs is None else logprobs[i], ended)
        done += len(window)
        if progress is not None:
            progress("evaluate", done, len(questions))
    return _with_refused(table(records), reasons, len(questions))


def unreadable(vlm: VLM, questions: Questions, arm: Arm | None = None) -> dict[str, str]:
    """The questions that the model's processor refuses, as id -> reason. Runs processor and tokenizer, not the model."""
    reasons: dict[str, str] = {}
    for window in windows(questions, 64):
        for shown in show(window, arm):
            try:
                encode(vlm, [shown.chat()])
            except UnreadableError as error:
                reasons[shown.question.id] = error.reasons[0]
    return reasons


def is_right(text: str, step: Step | Question, ended: bool = True) -> bool:
    """Whether an answer is right: it can be parsed, matches the gold answer, and the model ended its turn.

    All of HeadAtlas uses this definition. "yes yes yes ..." without an end of turn is not right.

    Args:
        text: the model's answer.
        step: the step or question that was asked, with its gold answer.
        ended: whether an end of turn followed the text, see `Readout.ended` and `Answer.ended`.
    """
    return ended and matches(text, step.answer, step.answer_type, step.options)


def rows_of(
    question: Question, texts: Sequence[str], logprobs: Sequence[float] | None, ended: Sequence[bool] | None = None
) -> list[dict[str, Any]]:
    """The rows of the answers table of one question, given the answer to each step.

    `ended` says for each step whether the model ended its turn; None: it did in all.
    """
    rows = []
    for k, (step, text) in enumerate(zip(question.steps, texts, strict=True)):
        parsed = parse(text, step.answer_type, step.options)
        rows.append(
            {
                "question": question.id,
                "step": k,
                "n_steps": len(question.steps),
                "split": question.split,
                "family": question.family,
                "scene": question.scene,
                "source": question.source,
                "kind": step.kind,
                "function": step.function,
                "functions": "|".join(step.functions),
                "answer_type": step.answer_type,
                "gold": step.answer,
                "text": text,
                "parsed": parsed,
                "correct": is_right(text, step, ended is None or ended[k]),
                "unparsable": parsed is None,
                "logprob": float("nan") if logprobs is None else logprobs[k],
            }
        )
    return rows


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """An answers table of the given rows, with the columns and dtypes of every answers table."""
    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    types = {"step": "int64", "n_steps": "int64", "correct": "bool", "unparsable": "bool", "logprob": "float64"}
    return frame.astype(types)


def _with_refused(answers: pd.DataFrame, reasons: dict[str, str], total: int) -> pd.DataFrame:
    """The table with the refused questions listed in its `attrs`, after a warning; an error if all were refused."""
    if reasons and answers.empty:
        raise HeadAtlasError(f"the model can read none of the {total} questions: {next(iter(reasons.values()))}")
    if reasons:
        log.warning("%d of %d questions left out: %s", len(reasons), total, "; ".join(reasons.values()))
        answers.attrs["refused"] = reasons
    return answers
