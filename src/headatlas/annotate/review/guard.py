"""Restrict the review page to browsers on this machine: checks of host, origin and size of requests, and security headers.

A page of another site in the same browser can neither read nor vote, because its origin and its host name differ, even if the
host name resolves to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 * 2**10
"""Most bytes of a request's body; a vote has a few hundred."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware. A response that sets one of `HEADERS` itself, such as a wider content policy, keeps its own.

    Args:
        app: what is guarded.
        hosts: the accepted values of the Host header, such as "127.0.0.1:8321".
        most_bytes: most bytes of a request's body.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], most_bytes: int = MOST_BYTES):
        self._app = app
        self._hosts = frozenset(hosts)
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, sealed)
        else:
            status, why = refusal
            await PlainTextResponse(f"{why}\n", status)(scope, receive, sealed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, "this page can be opened on this machine only, under the address that the command printed"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and scope["path"] != "/":
            return 403, "only the page itself may ask for this"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "the method must be GET or POST"
        if headers.get("origin") != f"http://{hosts[0].lower()}":
            return 403, "requests must come from the page itself"
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "the content type must be application/json"
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            return 411, "the request must have a content-length"
        return (
            (413, f"the request must have at most {self._most_bytes} bytes") if int(length) > self._most_bytes else None
        )
