"""Adapt requests to an endpoint: "OpenAI-compatible" servers accept different fields.

A field that a server refuses by name is left out from then on. If a refusal names no field, the request is tried once without
the schema.
"""

from __future__ import annotations

from typing import Any

from headatlas.annotate.llm.endpoint import Endpoint
from headatlas.annotate.llm.messages import Request

_WORDS = {
    "response_format": (
        "response_format",
        "json_schema",
        "response format",
        "structured output",
        "guided",
        "json mode",
    ),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_new_tokens"),
    "temperature": ("temperature",),
}

REFUSED = frozenset({400, 415, 422, 501})
"""HTTP statuses that may be about one field of a request and not about the request as a whole."""


class Dialect:
    """The form of requests to one endpoint, changed by its refusals."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint
        self._without: set[str] = set()
        self._limit = "max_tokens"

    def body(self, request: Request, plain: bool = False) -> dict[str, Any]:
        """The JSON value to post; `plain` leaves the schema out of this one."""
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": [message.to_wire() for message in request.messages],
        }
        if self._endpoint.temperature is not None and "temperature" not in self._without:
            body["temperature"] = self._endpoint.temperature
        if "max_tokens" not in self._without:
            body[self._limit] = self._endpoint.max_tokens
        if request.schema is not None and not plain and "response_format" not in self._without:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": request.schema},
            }
        return body

    def learn(self, refusal: str, sent: dict[str, Any]) -> bool:
        """Leave out, from now on, the fields that a refusal names.

        Args:
            refusal: the server's message.
            sent: the body that was refused.

        Returns:
            Whether the next body will differ from `sent`.
        """
        refusal, named = refusal.lower(), False
        for field, words in _WORDS.items():
            was_sent = self._limit in sent if field == "max_tokens" else field in sent
            if not any(word in refusal for word in words):
                continue
            # OpenAI's newer models name the field that they want instead.
            if field == "max_tokens" and "max_completion_tokens" in refusal and "max_tokens" in sent:
                self._limit, named = "max_completion_tokens", True
            elif was_sent:
                self._without.add(field)
                named = True
        return named

    def drop_schema(self) -> None:
        """Leave the schema out from now on."""
        self._without.add("response_format")
