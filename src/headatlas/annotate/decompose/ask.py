"""The calls that one question's decomposition takes: draft a chain, check it by rule, have every step answered blind, ask again.

Knows the prompts and the seams of `llm`; knows no dataset and no files. The verifier gets what a model under study
gets (image, main question, earlier steps with their answers) and neither the step's answer nor the steps after it; it
may be another model.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from headatlas.annotate.decompose.checks import Checked, check_chain
from headatlas.annotate.decompose.draft import Draft, Words, to_steps
from headatlas.annotate.judge.ask import Case, judge_one
from headatlas.annotate.llm import LLM, Message, Picture, Prompt, Request, Unusable, ask_for
from headatlas.cogvsr.functions import MEANINGS
from headatlas.cogvsr.parsing import matches
from headatlas.cogvsr.schema import Question, Step

DECOMPOSE = Prompt.load("headatlas.annotate.decompose", "decompose.v1")
VERIFY = Prompt.load("headatlas.annotate.decompose", "verify.v1")


class Blind(BaseModel):
    """The verifier's own answer to a step."""

    why: str = ""
    answerable: bool
    answer: Words


@dataclass(frozen=True)
class Rules:
    """What a chain must be, and how long it is tried for."""

    least: int = 2
    """Fewest steps."""
    most: int = 10
    tries: int = 3
    """Drafts of one question, at most."""
    side: int = 1024
    """Longest side of the image that is sent, in pixels."""
    round: int = 0
    """A new number asks anew what the cache answers."""


@dataclass(frozen=True)
class Chain:
    """A question's steps that passed every check."""

    steps: tuple[Step, ...]
    model: str
    """As the server names it."""
    tries: int
    dropped: tuple[str, ...] = ()
    verified_by: str = ""
    """Model that answered every step blind and agreed; "" if nobody did."""


@dataclass
class _Progress:
    """The best draft so far: what is told of a question that fails."""

    checked: Checked | None = None
    steps: list[Step] = field(default_factory=list)


class NotDecomposed(Unusable):
    """No draft passed. `steps`: of the last draft, those that had the right form."""

    def __init__(self, error: Unusable, steps: list[Step]):
        super().__init__(error.reasons, error.last)
        self.steps = steps


async def decompose_one(question: Question, llm: LLM, verifier: LLM | None, rules: Rules) -> Chain:
    """A checked chain for `question`.

    Raises:
        NotDecomposed: No draft passed in `rules.tries`.
        CallFailed, EndpointDown: As `LLM.ask`.
    """
    pictures = tuple(Picture(image, rules.side) for image in question.images)
    last = _Progress()

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
    told = {
        "question": question.text,
        "options": list(question.options),
        "right answer": question.answer,
        "type of the answer": question.answer_type,
    }
    system = DECOMPOSE.fill(least=rules.least, most=rules.most, functions=MEANINGS)
    messages = (Message("system", system), Message("user", _json(told), pictures))
    return Request(messages, DECOMPOSE.version, round=rules.round)


async def _verify(
    steps: tuple[Step, ...], question: Question, pictures: tuple[Picture, ...], verifier: LLM, round: int
) -> list[str]:
    """What a blind verifier finds: steps that it cannot answer, or answers otherwise."""
    # All come to their end even if one fails: what is under way is paid for.
    found = await asyncio.gather(
        *(_verify_step(i, steps, question, pictures, verifier, round) for i in range(len(steps))),
        return_exceptions=True,
    )
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return [str(fault) for fault in found if fault]


async def _verify_step(
    i: int, steps: tuple[Step, ...], question: Question, pictures: tuple[Picture, ...], verifier: LLM, round: int
) -> str:
    step = steps[i]
    told = {
        "main question": question.text,
        "options of the main question": list(question.options),
        "steps before": [{"question": s.text, "answer": s.answer} for s in steps[:i]],
        "step to answer": step.text,
        "type of the answer": step.answer_type,
        "options of this step": list(step.options),
    }
    messages = (Message("system", VERIFY.text), Message("user", _json(told), pictures))
    try:
        said = (await ask_for(verifier, Request(messages, VERIFY.version, round=round), Blind)).value
    except Unusable as error:
        return f"step {i + 1} ({step.text!r}) could not be verified: {error}"
    if not said.answerable:
        reason = said.why or "no reason"
        return f"step {i + 1} ({step.text!r}) cannot be answered from image, question and earlier steps: {reason}"
    if await _agrees(said.answer, step, verifier, round):
        return ""
    return (
        f"step {i + 1} ({step.text!r}): somebody who did not see your answer {step.answer!r} answered {said.answer!r}"
        f" ({said.why or 'no reason'})"
    )


async def _agrees(answer: str, step: Step, verifier: LLM, round: int) -> bool:
    if matches(answer, step.answer, step.answer_type, step.options):
        return True
    if step.answer_type != "text":
        return False
    # Free words agree in more ways than rules know.
    case = Case(step.answer, answer, step.text, step.answer_type)
    try:
        return (await judge_one(verifier, case, round=round)).value.verdict == "correct"
    except Unusable:
        return False


def _json(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, indent=1)
