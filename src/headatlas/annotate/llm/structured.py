"""A reply as a checked record: JSON is found in what a model said, validated, and asked for again where it is wrong.

Knows pydantic, and the JSON schema that servers with structured output take; knows no HTTP. Every reply, good or bad, is in the
cache, so that a second run sees the same bad replies without paying, and asks on from the last one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from headatlas.annotate.llm.client import LLM, TOO_LARGE
from headatlas.annotate.llm.messages import Request
from headatlas.errors import HeadAtlasError

M = TypeVar("M", bound=BaseModel)
Check = Callable[[M], Awaitable[list[str]]]

_ATTEMPTS = 64  # places where JSON may begin: text made of nothing but braces must end


class Unusable(HeadAtlasError):
    """Every reply was wrong. `reasons`: of each try, what was. `last`: the last record that had the right form, if any."""

    def __init__(self, reasons: list[str], last: BaseModel | None):
        super().__init__(f"{len(reasons)} replies, none usable; the last: {reasons[-1]}")
        self.reasons, self.last = reasons, last


@dataclass(frozen=True)
class Answered(Generic[M]):
    """A record that passed, and how many replies it took."""

    value: M
    tries: int
    model: str
    """As the server names it."""


async def ask_for(
    llm: LLM, request: Request, form: type[M], check: Check[M] | None = None, tries: int = 3
) -> Answered[M]:
    """Ask until the reply is a `form` in which `check` finds no fault; what was wrong is told to the model.

    Args:
        llm: Who is asked.
        request: The question; its schema is set to that of `form`.
        form: A pydantic model of the reply.
        check: Returns the faults of a well-formed reply in words.
        tries: Replies at most, at least 1.

    Raises:
        Unusable: No reply passed.
        CallFailed, EndpointDown: As `LLM.ask`.
    """
    request = Request(request.messages, request.prompt, strict_schema(form), request.round)
    reasons: list[str] = []
    last: M | None = None
    for attempt in range(1, tries + 1):
        reply = await llm.ask(request)
        value, problem = read_record(reply.content, form)
        if value is None:
            faults = [f"{_ENDINGS[reply.finish]}; {problem}" if reply.finish in _ENDINGS else problem]
        else:
            last = value
            faults = await check(value) if check else []
            if not faults:
                return Answered(value, attempt, reply.model)
        reasons.append("; ".join(faults))
        wrong = "\n".join(f"- {fault}" for fault in faults)
        request = request.followed_by(
            reply.content[:4000] or "(nothing)",
            f"That reply cannot be used:\n{wrong}\nReply again with the whole JSON object, corrected, and nothing else.",
        )
    raise Unusable(reasons, last)


_ENDINGS = {
    "length": "the reply was cut short",
    "content_filter": "the server's filter stopped the reply",
    "refusal": "the model refused",
    TOO_LARGE: "the reply had more than 16 MB",
}


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a pydantic model as strict structured output wants it: every field required, none besides."""
    return _strict(form.model_json_schema(mode="validation"))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _strict(value) for key, value in node.items() if key not in ("default", "title") or isinstance(value, dict)
    }
    if kept.get("type") == "object":
        kept["required"], kept["additionalProperties"] = list(kept.get("properties", {})), False
    return kept


def read_record(text: str, form: type[M]) -> tuple[M | None, str]:
    """The first JSON value in `text` that is a `form`: alone, in a code fence, or between sentences and thoughts.

    Returns the record and "", or None and what is wrong in words that a model can act on.
    """
    problem = ""
    for found in _json_values(text):
        if isinstance(found, ValueError):
            problem = problem or f"its JSON is broken or cut short ({found})"
            continue
        try:
            return form.model_validate(found), ""
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the object"
            problem = problem or f"{place}: {first['msg'].removeprefix('Value error, ')}"
    return None, problem or "it holds no JSON object"


def _json_values(text: str) -> Iterator[Any]:
    """Every JSON object or list in a text that is not inside another; in place of one that is broken, the error."""
    text = re.sub(r"^.*</think>", "", text, flags=re.DOTALL)
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_ATTEMPTS):
        begin = re.search(r"[{\[]", text[at:])
        if not begin:
            return
        at += begin.start()
        try:
            value, at = decoder.raw_decode(text, at)
            yield value
        except (ValueError, RecursionError) as error:
            at += 1
            yield ValueError(str(error))
