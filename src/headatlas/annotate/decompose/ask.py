"""Decompose one question: draft a chain, check it by rules, have every step answered blind, and ask again with what is wrong.

The verifier gets what a model under study gets (image, main question, earlier steps with their answers), but neither the step's
answer nor later steps. It may be another model.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from headatlas.annotate.decompose.checks import Checked, check_chain
from headatlas.annotate.decompose.draft import MOST_CHARACTERS, MOST_STEPS, Draft, Words, to_steps
from headatlas.annotate.judge.ask import Case, judge_one
from headatlas.annotate.llm import LLM, Message, Picture, Prompt, Request, Unusable, ask_for
from headatlas.answers.parsing import matches
from headatlas.cogvsr.functions import MEANINGS
from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.printing import brief

DECOMPOSE = Prompt.load("headatlas.annotate.decompose", "decompose.v1")
VERIFY = Prompt.load("headatlas.annotate.decompose", "verify.v1")


class Blind(BaseModel):
    """The verifier's own answer to a step."""

    why: str = ""
    answerable: bool
    answer: Words


@dataclass(frozen=True)
class Rules:
    """How many steps a chain may have, and how often it is drafted.

    Raises:
        HeadAtlasError: a value is out of its range.
    """

    least: int = 2
    """Fewest steps, at least 1."""
    most: int = 10
    """Most steps, at most 64."""
    tries: int = 3
    """Most drafts of one question."""
    side: int = 1024
    """Longest side of the image that is sent, in pixels."""
    round: int = 0
    """With another number, questions are asked again instead of answered from the cache."""

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= MOST_STEPS:
            raise HeadAtlasError(
                f"numbers of steps must be 1 <= least <= most <= {MOST_STEPS}, got least={self.least} and most={self.most}"
            )
        if self.tries < 1 or self.side < 1:
            raise HeadAtlasError(f"tries and side must be at least 1, got {self.tries} and {self.side}")


@dataclass(frozen=True)
class Chain:
    """Steps of a question that passed every check."""

    steps: tuple[Step, ...]
    model: str
    """The model that wrote them, as the server names it."""
    tries: int
    """Number of drafts that were needed."""
    dropped: tuple[str, ...] = ()
    """Steps that were dropped as repeats, and why."""
    verified_by: str = ""
    """Model that answered every step blind and agreed; "" if none did."""

    __repr__ = brief


@dataclass
class _LastDraft:
    """The last draft of a question, which is reported if all its drafts fail."""

    checked: Checked | None = None
    steps: list[Step] = field(default_factory=list)


class NotDecomposed(Unusable):
    """No draft passed; `steps` are those of the last draft that had the right form."""

    def __init__(self, error: Unusable, steps: list[Step]):
        super().__init__(error.reasons, error.last)
        self.steps = steps


async def decompose_one(question: Question, llm: LLM, verifier: LLM | None, rules: Rules) -> Chain:
    """A checked chain of steps for `question`.

    Args:
        question: the question, with its images.
        llm: the model that writes the steps.
        verifier: the model that answers them blind; None leaves that check out.
        rules: numbers of steps and drafts.

    Raises:
        NotDecomposed: no draft passed in `rules.tries`.
        CallFailed, EndpointDown: as `LLM.ask`.
    """
    pictures = tuple(Picture(image, rules.side) for image in question.images)
    last = _LastDraft()

    async def check(draft: Draft) -> list[str]:
        steps, faults = to_steps(draft, question)
        last.steps = steps
        if faults:
            return faults
        last.checked = check_chain(steps, question, rules.least, rules.most)
        if last.checked.faults or verifier is None:
            return list(last.checked.faults)
        return await _verify(last.checked.steps, question, pictures, verifier, rules.round)

    try:
        answered = await ask_for(llm, _request(question, pictures, rules), Draft, check, rules.tries)
    except Unusable as error:
        raise NotDecomposed(error, last.steps) from error
    assert last.checked is not None
    by = verifier.endpoint.model if verifier else ""
    return Chain(last.checked.steps, answered.model, answered.tries, last.checked.dropped, by)


def _request(question: Question, pictures: tuple[Picture, ...], rules: Rules) -> Request:
    data = {
        "question": question.text,
        "options": list(question.options),
        "right answer": question.answer,
        "type of the answer": question.answer_type,
    }
    system = DECOMPOSE.fill(least=rules.least, most=rules.most, functions=MEANINGS)
    messages = (Message("system", system), Message("user", _json(data), pictures))
    return Request(messages, DECOMPOSE.version, round=rules.round)


async def _verify(
    steps: tuple[Step, ...], question: Question, pictures: tuple[Picture, ...], verifier: LLM, round: int
) -> list[str]:
    """The faults found by the blind verifier: steps that it cannot answer, or answers differently."""
    # All calls are finished even if one fails, because they are paid for.
    results = await asyncio.gather(
        *(_verify_step(i, steps, question, pictures, verifier, round) for i in range(len(steps))),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [str(fault) for fault in results if fault]


async def _verify_step(
    i: int, steps: tuple[Step, ...], question: Question, pictures: tuple[Picture, ...], verifier: LLM, round: int
) -> str:
    step = steps[i]
    data = {
        "main question": question.text,
        "options of the main question": list(question.options),
        "steps before": [{"question": s.text, "answer": s.answer} for s in steps[:i]],
        "step to answer": step.text,
        "type of the answer": step.answer_type,
        "options of this step": list(step.options),
    }
    messages = (Message("system", VERIFY.text), Message("user", _json(data), pictures))
    try:
        reply = (await ask_for(verifier, Request(messages, VERIFY.version, round=round), Blind)).value
    except Unusable as error:
        return f"step {i + 1} ({step.text!r}) could not be verified: {error}"
    if not reply.answerable:
        reason = reply.why[:400] or "no reason"
        return f"step {i + 1} ({step.text!r}) cannot be answered from image, question and earlier steps: {reason}"
    if await _agrees(reply.answer, step, verifier, round):
        return ""
    return (
        f"step {i + 1} ({step.text!r}): somebody who did not see your answer {step.answer!r} answered {reply.answer!r:.200}"
        f" ({reply.why[:400] or 'no reason'})"
    )


async def _agrees(answer: str, step: Step, verifier: LLM, round: int) -> bool:
    if len(answer) > MOST_CHARACTERS:
        return False
    if matches(answer, step.answer, step.answer_type, step.options):
        return True
    if step.answer_type != "text":
        return False
    # Rules do not cover all the ways in which free text can agree.
    case = Case(step.answer, answer, step.text, step.answer_type)
    try:
        return (await judge_one(verifier, case, round=round)).value.verdict == "correct"
    except Unusable:
        return False


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1)
