"""Replies as checked records: find JSON in a reply, validate it, and ask again for what is wrong.

Every reply, good or bad, is in the cache, so that a second run reads the same bad replies without paying for them and goes on
asking after the last one.
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
from headatlas.answers import without_thoughts
from headatlas.errors import HeadAtlasError

M = TypeVar("M", bound=BaseModel)
Check = Callable[[M], Awaitable[list[str]]]

LONGEST_REPLY = 1_000_000
"""Characters of a reply in which a record is looked for."""

_PLACES = 64  # at which JSON may begin: reading a text of nothing but braces must end
_JSON_BEGINS = re.compile(r"[{\[]")

_CUT = {
    "length": "the reply was cut short",
    "content_filter": "the server's filter stopped the reply",
    "refusal": "the model refused",
    TOO_LARGE: "the reply had more than 16 MB",
}
"""Ends after which a reply is no record, even if a record stands in it."""


class Unusable(HeadAtlasError):
    """No reply was usable.

    Attributes:
        reasons: What was wrong with each reply.
        last: The last record that had the right form, None if there was none.
    """

    def __init__(self, reasons: list[str], last: BaseModel | None):
        super().__init__(f"{len(reasons)} replies, none usable; the last: {reasons[-1]}")
        self.reasons, self.last = reasons, last


@dataclass(frozen=True)
class Answered(Generic[M]):
    """A record that passed."""

    value: M
    tries: int
    """Replies that it took."""
    model: str
    """The model as the server names it."""


async def ask_for(
    llm: LLM, request: Request, form: type[M], check: Check[M] | None = None, tries: int = 3
) -> Answered[M]:
    """Ask until a reply is a `form` in which `check` finds no fault; the model is told what was wrong with the one before.

    Args:
        llm: The model that is asked.
        request: The question; its schema is set to that of `form`.
        form: A pydantic model of the reply.
        check: Returns the faults of a record in words.
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
        if reply.finish in _CUT:
            faults = [f"{_CUT[reply.finish]}; {problem}" if problem else _CUT[reply.finish]]
        elif value is None:
            faults = [problem]
        else:
            last = value
            faults = await check(value) if check else []
            if not faults:
                return Answered(value, attempt, reply.model)
        reasons.append("; ".join(faults))
        wrong = "\n".join(f"- {fault}" for fault in faults)
        request = request.followed_by(
            (without_thoughts(reply.content[:LONGEST_REPLY]) or "(nothing)")[:4000],
            f"That reply cannot be used:\n{wrong}\nReply again with the whole JSON object, corrected, and nothing else.",
        )
    raise Unusable(reasons, last)


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a pydantic model for strict structured output: every field is required, no other is allowed.

    Titles, defaults and descriptions (docstrings of the code) are left out.
    """
    return _strict(form.model_json_schema(mode="validation"))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    notes = ("default", "title", "description")  # of a node; a field of that name is a dict
    strict = {key: _strict(value) for key, value in node.items() if key not in notes or isinstance(value, dict)}
    if strict.get("type") == "object":
        strict["required"], strict["additionalProperties"] = list(strict.get("properties", {})), False
    return strict


def read_record(text: str, form: type[M]) -> tuple[M | None, str]:
    """The record in a reply: the JSON value that is a `form`, alone, in a code fence, or between sentences.

    Thoughts are not searched. JSON that is no `form`, and text before and after the record, are passed over. The same record
    may stand in a reply several times; two records that differ are an error, because nothing says which one is meant.

    Returns:
        The record and "", or None and what is wrong in words that a model can act on.
    """
    if len(text) > LONGEST_REPLY:
        return None, f"it has more than {LONGEST_REPLY:,} characters"
    said = without_thoughts(text)
    if said is None:
        return None, "it has thoughts only, and no JSON object after them"
    records: list[M] = []
    problem = ""
    for found in _json_values(said):
        if isinstance(found, ValueError):
            problem = problem or f"its JSON is broken or cut short ({found})"
            continue
        try:
            records.append(form.model_validate(found))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the object"
            problem = problem or f"{place}: {first['msg'].removeprefix('Value error, ')}"
    if not records:
        return None, problem or "it holds no JSON object"
    if any(record != records[0] for record in records):
        return None, "it holds several JSON objects that differ; it must hold one"
    return records[0], ""


def _json_values(text: str) -> Iterator[Any]:
    """Every JSON object or list in a text that is not inside another; for one that is broken, the error."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_PLACES):
        begin = _JSON_BEGINS.search(text, at)
        if not begin:
            return
        at = begin.start()
        try:
            value, at = decoder.raw_decode(text, at)
            if "\\u" in text:  # JSON may spell half a surrogate pair, which no file takes
                value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
            yield value
        except (ValueError, RecursionError) as error:
            at += 1
            yield ValueError(str(error))
