"""One answer, judged: by the parser and by a language model, in the same three verdicts.

Knows the prompt `prompts/judge.v1.md` and the seams of `llm`; knows no tables. Method.md (e): parse first, judge
second; the judge is pinned (model and prompt version), asked at temperature 0 and cached. It never sees the image: it
compares, it does not answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from headatlas.annotate.llm import LLM, Message, Prompt, Request, ask_for
from headatlas.annotate.llm.structured import Answered
from headatlas.cogvsr.parsing import matches, parse

VERDICTS = ("correct", "incorrect", "unparsable")
"""`unparsable` is an outcome of its own and never a wrong answer."""

PROMPT = Prompt.load("headatlas.annotate.judge", "judge.v1")


@dataclass(frozen=True)
class Case:
    """An answer to be judged. `question` is what was asked, in words; "" where that is not known."""

    gold: str
    text: str
    question: str = ""
    answer_type: str = "text"
    options: tuple[str, ...] = ()


class Verdict(BaseModel):
    """What the judge says. The reason comes first: a model that writes it first judges better."""

    why: str
    verdict: Literal["correct", "incorrect", "unparsable"]


def parser_verdict(case: Case) -> str:
    """The verdict of `cogvsr.parsing`, one of `VERDICTS`."""
    if parse(case.text, case.answer_type, case.options) is None:
        return "unparsable"
    return "correct" if matches(case.text, case.gold, case.answer_type, case.options) else "incorrect"


async def judge_one(llm: LLM, case: Case, tries: int = 3, round: int = 0) -> Answered[Verdict]:
    """The verdict of the model behind `llm`; an answer without a letter or digit is unparsable without asking.

    Raises:
        Unusable: The model gave no verdict in `tries` replies.
        CallFailed, EndpointDown: As `LLM.ask`.
    """
    if not any(c.isalnum() for c in case.text):
        return Answered(Verdict(why="nothing was said", verdict="unparsable"), 0, "")
    data = {
        "question": case.question or None,
        "options": list(case.options) or None,
        "expected answer": case.gold,
        "given answer": case.text[:8000],
    }
    told = {key: value for key, value in data.items() if value is not None}
    messages = (Message("system", PROMPT.text), Message("user", json.dumps(told, ensure_ascii=False, indent=1)))
    return await ask_for(llm, Request(messages, PROMPT.version, round=round), Verdict, tries=tries)
