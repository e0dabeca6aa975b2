"""Decode the body of a chat completion and read the reply in it."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from typing import Any

from headatlas.annotate.llm.cache import Reply

_FINISHES = {
    **dict.fromkeys(("max_tokens", "max_output_tokens", "model_length", "token_limit"), "length"),
    **dict.fromkeys(("safety", "recitation", "blocklist", "prohibited_content", "content-filter"), "content_filter"),
}
"""Other servers' names for OpenAI's finish reasons "length" and "content_filter"."""


class NotACompletion(Exception):
    """The body is not a chat completion; `str(error)` says why."""


def decode(raw: bytes, content_type: str) -> str:
    """The text of a body: UTF-8, 16 or 32 as JSON allows, else in the charset that the content type names.

    Raises:
        NotACompletion: the bytes are not text in any of these encodings.
    """
    charset = re.search(r"charset=[\"']?([\w.:-]+)", content_type)
    for encoding in (json.detect_encoding(raw), charset[1] if charset else "utf-8"):
        try:
            codecs.lookup(encoding)
            return raw.decode(encoding)
        except (LookupError, UnicodeError):
            continue
    raise NotACompletion("it is not UTF-8")


def read_reply(body: Any, redact: Callable[[str], str]) -> Reply:
    """The reply in the JSON value of a body; `redact` removes the API key from its text.

    Raises:
        NotACompletion: a field is missing or has the wrong type, or the message is empty although nothing stopped the model.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    choice = first if isinstance(first, dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NotACompletion("it has no choices[0].message")
    content, refusal = _content(message)
    finish = str(choice.get("finish_reason") or "stop").lower()
    finish = _FINISHES.get(finish, finish)
    if refusal and not content.strip():
        content, finish = refusal, "refusal"
    if not content.strip() and finish not in ("length", "content_filter", "refusal"):
        raise NotACompletion(f"its message is empty (finish_reason {finish[:40]!r})")
    usage = body.get("usage")
    text, finish, model = (_storable(redact(one)) for one in (content, finish, str(body.get("model") or "")))
    return Reply(text, finish, model, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _content(message: dict[str, Any]) -> tuple[str, str]:
    """The text of a message, and its refusal."""
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):  # parts; thoughts are left out
        parts = [{"text": part} if isinstance(part, str) else part for part in content]
        if not all(isinstance(part, dict) for part in parts):
            raise NotACompletion("its content is not a list of parts")
        texts = [part.get("text") for part in parts if part.get("type", "text") in ("text", "output_text")]
        refusal = refusal or next((part["refusal"] for part in parts if part.get("refusal")), None)
        content = "".join(text for text in texts if isinstance(text, str))
    if content is not None and not isinstance(content, str):
        raise NotACompletion(f"its content must be text, got {type(content).__name__}")
    return content or "", refusal if isinstance(refusal, str) else ""


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # JSON may contain half a surrogate pair, which cannot be encoded


def _count(usage: Any, name: str) -> int:
    """A server's count of tokens; 0 if it is not valid: a reply that was paid for must not be lost to a wrong count."""
    tokens = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(tokens, bool) or not isinstance(tokens, (int, float)) or not 0 <= tokens < 1e12:
        return 0
    return int(tokens)
