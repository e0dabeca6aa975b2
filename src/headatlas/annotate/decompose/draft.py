"""A chain of steps as a model proposes it, and its conversion to `Step`s.

Parsing is lenient where the meaning is clear ("Spatial Perception", a bare list of steps, 3 for "3") and strict elsewhere.
`checks.py` checks whether the steps are good.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

from headatlas.answers.parsing import matches, parse
from headatlas.cogvsr.functions import FUNCTIONS, TITLES, check_function
from headatlas.cogvsr.schema import Question, Step

_BY_TITLE = {re.sub(r"\W+", "_", title.lower()): name for name, title in TITLES.items()}
MOST_STEPS = 64
"""Most steps of a draft; checking a chain takes time quadratic in its length."""
MOST_CHARACTERS = 400
"""Most characters of a question, an answer or an option."""
_MOST_WORDS = 12  # of an answer; the prompt says five, names of things may be longer
_MOST_OPTIONS = 26


def _function(name: Any) -> Any:
    key = re.sub(r"\W+", "_", str(name).strip().lower())
    return _BY_TITLE.get(key, key)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(value)
    return " ".join(value.replace("\0", " ").split()) if isinstance(value, str) else value


Words = Annotated[str, BeforeValidator(_text)]
Function = Annotated[
    str,
    BeforeValidator(_function),
    AfterValidator(check_function),
    # The schema lists the eight names, so that a server with structured output can give no other.
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
        steps = value.get("steps") if isinstance(value, dict) else value
        if isinstance(steps, list) and len(steps) > MOST_STEPS:
            raise ValueError(f"the number of steps must be at most {MOST_STEPS}, got {len(steps)}")
        return {"steps": value} if isinstance(value, list) else value


def to_steps(draft: Draft, question: Question) -> tuple[list[Step], list[str]]:
    """The usable steps with normalised answers, and the faults of the others.

    The last step gets the answer, type and options of the main question if its answer agrees with it.
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
    if problem := _form(proposed):
        return problem
    options = tuple(dict.fromkeys(option for option in proposed.options if option))
    answer, kind = proposed.answer, proposed.answer_type
    if kind == "choice" and len(options) < 2:
        return f"a choice must have at least two options, got {json.dumps(list(options))}"
    if kind != "text":
        parsed = parse(answer, kind, options if kind == "choice" else ())
        if parsed is None:
            wanted = f"one of its options {json.dumps(list(options))}" if kind == "choice" else kind.replace("_", "/")
            return f"the answer must be {wanted}, got {answer!r}"
        answer = parsed
    return _made(proposed, answer, kind, options if kind == "choice" else ())


def _final(proposed: DraftStep, question: Question) -> Step | str:
    if problem := _form(proposed):
        return problem
    if not matches(proposed.answer, question.answer, question.answer_type, question.options):
        return f"the last step's answer must be the main question's answer {question.answer!r}, got {proposed.answer!r}"
    return _made(proposed, question.answer, question.answer_type, question.options)


def _form(proposed: DraftStep) -> str:
    if not proposed.question or len(proposed.question) > MOST_CHARACTERS:
        return f"a question must have 1 to {MOST_CHARACTERS} characters, got {len(proposed.question)}"
    answer = proposed.answer
    if len(answer) > MOST_CHARACTERS or len(answer.split()) > _MOST_WORDS or not any(c.isalnum() for c in answer):
        return f"an answer must have 1 to {_MOST_WORDS} words, got {answer!r:.80}"
    if len(proposed.options) > _MOST_OPTIONS or any(len(option) > MOST_CHARACTERS for option in proposed.options):
        return f"a choice must have at most {_MOST_OPTIONS} options of at most {MOST_CHARACTERS} characters each"
    if not proposed.functions or len(set(proposed.functions)) > 3:
        return f"a step must have one to three functions, got {len(set(proposed.functions))}"
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
