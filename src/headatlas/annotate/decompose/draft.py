"""What a model proposes as a chain of steps, and how it becomes `Step`s.

Knows the reply's form, which is lenient where meaning is clear ("Spatial Perception", a bare list of steps, 3 for
"3") and strict where it is not; knows nothing of prompts and of calls. Whether the steps are good is the business of
`checks.py`.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

from headatlas.cogvsr.functions import FUNCTIONS, TITLES, check_function
from headatlas.cogvsr.parsing import matches, parse
from headatlas.cogvsr.schema import Question, Step

_BY_TITLE = {re.sub(r"\W+", "_", title.lower()): name for name, title in TITLES.items()}
_MOST_CHARACTERS = 400
_MOST_WORDS = 12  # of an answer; the prompt says five, names of things may be longer


def _function(name: Any) -> Any:
    key = re.sub(r"\W+", "_", str(name).strip().lower())
    return _BY_TITLE.get(key, key)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(value)
    return " ".join(value.split()) if isinstance(value, str) else value


Words = Annotated[str, BeforeValidator(_text)]
Function = Annotated[
    str,
    BeforeValidator(_function),
    AfterValidator(check_function),
    # The eight names stand in the schema, so that a server with structured output can give no other.
    WithJsonSchema({"type": "string", "enum": list(FUNCTIONS)}),
]


class DraftStep(BaseModel):
    """One proposed step."""

    question: Words
    answer: Words
    answer_type: Literal["yes_no", "choice", "number", "text"]
    options: list[Words] = Field(default_factory=list)
    functions: list[Function]
    needs_image: bool = True


class Draft(BaseModel):
    """A proposed chain."""

    steps: list[DraftStep]

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"steps": value} if isinstance(value, list) else value


def to_steps(draft: Draft, question: Question) -> tuple[list[Step], list[str]]:
    """The steps in CogVSR's form, answers normalised, and what is wrong with single ones (then they are not among the steps).

    The last step takes answer, type and options of the main question, if its answer agrees with it.
    """
    steps: list[Step] = []
    faults: list[str] = []
    for i, proposed in enumerate(draft.steps):
        made = _final(proposed, question) if i == len(draft.steps) - 1 else _step(proposed)
        if isinstance(made, Step):
            steps.append(made)
        else:
            faults.append(f"step {i + 1}: {made}")
    return steps, faults


def _step(proposed: DraftStep) -> Step | str:
    """The step, or what is wrong with it."""
    options = tuple(dict.fromkeys(option for option in proposed.options if option))
    if problem := _form(proposed):
        return problem
    answer, kind = proposed.answer, proposed.answer_type
    if kind == "choice" and len(options) < 2:
        return f"a choice needs at least two options, came {json.dumps(list(options))}"
    if kind != "text":
        read = parse(answer, kind, options if kind == "choice" else ())
        if read is None:
            among = f"one of its options {json.dumps(list(options))}" if kind == "choice" else kind.replace("_", "/")
            return f"expected {among} as answer, came {answer!r}"
        answer = read
    return _made(proposed, answer, kind, options if kind == "choice" else ())


def _final(proposed: DraftStep, question: Question) -> Step | str:
    if problem := _form(proposed):
        return problem
    if not matches(proposed.answer, question.answer, question.answer_type, question.options):
        return (
            f"the last step's answer must be the main question's answer {question.answer!r}, came {proposed.answer!r}"
        )
    return _made(proposed, question.answer, question.answer_type, question.options)


def _form(proposed: DraftStep) -> str:
    if not proposed.question or len(proposed.question) > _MOST_CHARACTERS:
        return f"expected a question of 1 to {_MOST_CHARACTERS} characters, came {len(proposed.question)}"
    if not any(c.isalnum() for c in proposed.answer) or len(proposed.answer.split()) > _MOST_WORDS:
        return f"expected an answer of 1 to {_MOST_WORDS} words, came {proposed.answer!r:.80}"
    if not proposed.functions or len(set(proposed.functions)) > 3:
        return f"expected one to three functions, came {len(set(proposed.functions))}"
    return ""


def _made(proposed: DraftStep, answer: str, kind: Any, options: tuple[str, ...]) -> Step:
    functions = tuple(dict.fromkeys(proposed.functions))
    return Step(
        text=proposed.question,
        answer=answer,
        answer_type=kind,
        functions=functions,
        options=options,
        needs_image=proposed.needs_image,
    )
