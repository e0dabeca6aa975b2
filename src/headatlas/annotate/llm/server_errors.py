"""Find the error that a server reports, in the HTTP status or in the body of a response with status 200."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

PAYMENT, AUTHENTICATION, UNKNOWN_MODEL, BAD_GATEWAY = 402, 401, 404, 502

BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "cancelled", "canceled", "interrupted", "timeout", "insufficient_system_resource"}
)
"""Finish reasons of replies that a server broke off. Their text is not used; the next try may succeed."""

_NAMES = (
    (
        PAYMENT,
        re.compile(r"insufficient_?(?:quota|balance|credit|fund)|billing|payment|credits?_|quota_(?:exhaust|spent)"),
    ),
    (AUTHENTICATION, re.compile(r"api_?key|authenticat|authoriz|permission|forbidden|access_denied")),
    (UNKNOWN_MODEL, re.compile(r"model_not_found|notfound|not_found|unknown_model|no_such_model")),
    (429, re.compile(r"rate_?limit|too_many|resource_exhausted|throttl")),
    (503, re.compile(r"overload|unavailable|server_?error|internal|timeout|gateway")),
    (400, re.compile(r"invalid_?request|context_length|content_policy|bad_?request|invalid_argument")),
)
"""Names of errors (OpenAI, Anthropic, Google, vLLM, ...) and the HTTP status that means the same."""

_WORDS = (
    (
        PAYMENT,
        re.compile(
            r"insufficient (?:\w+ )?(?:credit|balance|fund|quota)|payment required|(?:out of|no more|not enough) credits?"
            "|\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39"  # balance not sufficient, in arrears
            r"|(?:quota|credits?|balance)\b.{0,40}\b(?:exceeded|exhausted|spent|used up|depleted)"
        ),
    ),
    (
        AUTHENTICATION,
        re.compile(
            r"api.?key.{0,40}\b(?:invalid|not valid|expired|missing|required|incorrect|revoked)"
            r"|\b(?:invalid|incorrect|missing|no|expired|bad)\b.{0,20}\b(?:api.?key|credentials?|auth\w* token)"
            r"|\bunauthori[sz]ed\b|\bnot authenticated\b|\bauthentication (?:failed|required|error)"
        ),
    ),
    (UNKNOWN_MODEL, re.compile(r"\bmodel\b.{0,120}\b(?:not found|does not exist|unknown)|(?:no such|unknown) model")),
    (429, re.compile(r"rate.?limit|too many requests")),
)
"""The same by the words of a message, used only if the error gives neither a status nor a name."""

_CODES = ("code", "status", "status_code", "error_code", "http_status", "type", "reason")
_MESSAGES = ("message", "detail", "msg", "error_msg", "errmsg", "error_description", "status_msg", "title", "error")


@dataclass(frozen=True)
class ServerError:
    """An error that a server reports: the HTTP status it corresponds to, and its message as sent (may contain the key)."""

    status: int
    message: str


def find_error(status: int, body: Any, text: str) -> ServerError | None:
    """The error in a response, None if there is none.

    Args:
        status: HTTP status of the response.
        body: the JSON value of its body, None if the body is not JSON.
        text: the body as text.
    """
    succeeded = 200 <= status < 300
    error = _reported(body)
    if succeeded and error is None:
        return None
    message = _message(error) if error is not None else _plain(text)
    number, name = _codes(error)
    meant = name if name in (PAYMENT, AUTHENTICATION) else None
    if succeeded:
        return ServerError(meant or number or name or _said(message) or BAD_GATEWAY, message)
    if meant is None and status == 400 and _said(message) == AUTHENTICATION:
        meant = AUTHENTICATION
    # A spent quota is often reported as 429, an unknown key as 400: neither passes.
    return ServerError(meant if meant and status in (400, 422, 429, 500, 503) else status, message)


def _reported(body: Any) -> Any:
    """The part of a JSON body that reports an error, None if there is none."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body["error"]
    choices = body.get("choices")
    if choices:
        choice = choices[0] if isinstance(choices, list) else None
        if isinstance(choice, dict):
            if choice.get("error"):
                return choice["error"]
            if (finish := str(choice.get("finish_reason")).lower()) in BROKEN_OFF:
                return f"the reply ended in an error of the model's provider ({finish})"
        return None
    nested = body.get("base_resp")
    if isinstance(nested, dict) and nested.get("status_code"):
        return nested
    if body.get("errors"):
        return body["errors"]
    messages = [body.get(name) for name in ("detail", "message", "msg", "error_msg", "errmsg", "error_description")]
    return body if any(isinstance(value, (str, list)) and value for value in messages) else None


def _codes(error: Any) -> tuple[int | None, int | None]:
    """The HTTP status that an error gives as a number, and the one that its names stand for."""
    number = name = None
    for value in _values(error):
        digits = str(value).strip()
        if re.fullmatch(r"[45][0-9]{2}(?:[0-9]{2})?", digits):  # vLLM writes 40401
            number = number or int(digits[:3])
        elif isinstance(value, str):
            plain = re.sub(r"[\s-]+", "_", value.lower())[:200]
            found = next((status for status, pattern in _NAMES if pattern.search(plain)), None)
            name = found if name is None or found in (PAYMENT, AUTHENTICATION) else name
    return number, name


def _values(error: Any) -> list[Any]:
    if isinstance(error, list):
        return [value for item in error[:4] for value in _values(item)]
    if not isinstance(error, dict):
        return []
    values = [error.get(name) for name in _CODES]
    inner = error.get("error")
    return [v for v in values if isinstance(v, (str, int)) and not isinstance(v, bool)] + (
        _values(inner) if inner else []
    )


def _said(message: str) -> int | None:
    words = message[:2000].lower()
    return next((status for status, pattern in _WORDS if pattern.search(words)), None)


def _message(error: Any) -> str:
    if isinstance(error, list):
        return "; ".join(_message(item) for item in error[:4])
    if isinstance(error, dict):
        found = next((error[name] for name in _MESSAGES if error.get(name)), None)
        return _message(found) if found is not None else json.dumps(error)
    return str(error)


def _plain(text: str) -> str:
    """The text of a body that is not JSON; of a web page its title."""
    title = re.search(r"<title[^>]{0,200}>(.{0,300}?)</title>", text[:20_000], re.IGNORECASE | re.DOTALL)
    return title[1] if title else text
