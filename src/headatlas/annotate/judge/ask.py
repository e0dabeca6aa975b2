"""Judge one answer with the parser or a language model; both give one of the same three verdicts.

The parser is tried first, then the model, at temperature 0, with the prompt `prompts/judge.v1.md`; its replies are cached. The
model compares the answer with the gold answer and does not see the image.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from headatlas.annotate.llm import LLM, Message, Prompt, Request, ask_for
from headatlas.annotate.llm.structured import Answered
from headatlas.answers import matches, parse, without_thoughts

VERDICTS = ("correct", "incorrect", "unparsable")
"""`unparsable` is an outcome of its own, not a wrong answer."""

PROMPT = Prompt.load("headatlas.annotate.judge", "judge.v1")

_LONGEST = 8000  # characters of an answer that the judge sees
_BEGIN = 2000  # of these from its beginning; the rest from its end, where a long answer concludes


@dataclass(frozen=True)
class Case:
    """An answer to be judged."""

    gold: str
    """The expected answer."""
    text: str
    """The given answer, as the model wrote it."""
    question: str = ""
    """What was asked, in words; "" if that is not known."""
    answer_type: str = "text"
    options: tuple[str, ...] = ()


class Verdict(BaseModel):
    """The judge's reply. The reason comes first: models that write it first judge better."""

    why: str
    verdict: Literal["correct", "incorrect", "unparsable"]


def parser_verdict(case: Case) -> str:
    """The verdict of `answers.parsing`, one of `VERDICTS`."""
    if parse(case.text, case.answer_type, case.options) is None:
        return "unparsable"
    return "correct" if matches(case.text, case.gold, case.answer_type, case.options) else "incorrect"


async def judge_one(llm: LLM, case: Case, tries: int = 3, round: int = 0) -> Answered[Verdict]:
    """The verdict of the model behind `llm`.

    Thoughts are removed first. An answer without a letter or digit outside of thoughts is unparsable, and the model is not
    asked.

    Raises:
        Unusable: the model gave no verdict in `tries` replies.
        CallFailed, EndpointDown: as `LLM.ask`.
    """
    text = without_thoughts(case.text) or ""
    if not any(c.isalnum() for c in text):
        return Answered(Verdict(why="there is no answer", verdict="unparsable"), 0, "")
    if len(text) > _LONGEST:
        text = f"{text[:_BEGIN]}\n[...]\n{text[_BEGIN - _LONGEST :]}"
    data = {
        "question": case.question or None,
        "options": list(case.options) or None,
        "expected answer": case.gold,
        "given answer": text,
    }
    known = {key: value for key, value in data.items() if value is not None}
    messages = (Message("system", PROMPT.text), Message("user", json.dumps(known, ensure_ascii=False, indent=1)))
    return await ask_for(llm, Request(messages, PROMPT.version, round=round), Verdict, tries=tries)
