"""Replies as validated records: find JSON in a reply, validate it, and ask again with what is wrong.

Every reply, good or bad, is cached. A second run reads the same bad replies without paying for them and continues after the
last one.
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

_PLACES = 64  # places at which JSON may begin, so that a text of nothing but braces is read in bounded time
_JSON_BEGINS = re.compile(r"[{\[]")

_CUT = {
    "length": "the reply was cut short",
    "content_filter": "the server's filter stopped the reply",
    "refusal": "the model refused",
    TOO_LARGE: "the reply had more than 16 MB",
}
"""Finish reasons after which a reply is not used, even if it contains a record."""


class Unusable(HeadAtlasError):
    """No reply was usable.

    Attributes:
        reasons: what was wrong with each reply.
        last: the last record that had the right form, None if there was none.
    """

    def __init__(self, reasons: list[str], last: BaseModel | None):
        super().__init__(f"none of {len(reasons)} replies can be used; the last: {reasons[-1]}")
        self.reasons, self.last = reasons, last


@dataclass(frozen=True)
class Answered(Generic[M]):
    """A record that passed."""

    value: M
    tries: int
    """Number of replies that were needed."""
    model: str
    """The model as the server names it."""


async def ask_for(
    llm: LLM, request: Request, form: type[M], check: Check[M] | None = None, tries: int = 3
) -> Answered[M]:
    """Ask until a reply is a valid `form` in which `check` finds no fault; the model is shown the faults of its last reply.

    Args:
        llm: the model that is asked.
        request: the question; its schema is set to that of `form`.
        form: a pydantic model of the reply.
        check: returns the faults of a record in words.
        tries: most replies, at least 1.

    Raises:
        Unusable: no reply was valid.
        CallFailed, EndpointDown: as `LLM.ask`.
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
    """The record in a reply: a JSON value that is a valid `form`, alone, in a code fence, or between sentences.

    Thoughts are removed first. Other JSON, and text around the record, are ignored. The same record may occur several times;
    two records that differ are an error, because it is not clear which one is meant.

    Returns:
        The record and "", or None and what is wrong, in words that a model can act on.
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
        return None, problem or "it has no JSON object"
    if any(record != records[0] for record in records):
        return None, "it has several JSON objects that differ; it must have one"
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
            if "\\u" in text:  # JSON may spell half a surrogate pair, which cannot be written to a file
                value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
            yield value
        except (ValueError, RecursionError) as error:
            at += 1
            yield ValueError(str(error))
