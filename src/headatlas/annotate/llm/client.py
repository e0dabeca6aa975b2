"""Ask one model behind an endpoint: `LLM.ask` sends a request, retries failed calls, stores the reply and counts its cost.

A reply is in the cache, on the disk, before it is returned. A reply that had not arrived when the process was killed, or when
the time ran out, is lost; the server may have charged for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from headatlas.annotate.llm.cache import Reply, ReplyCache
from headatlas.annotate.llm.completion import NotACompletion, decode, read_reply
from headatlas.annotate.llm.costs import Usage
from headatlas.annotate.llm.dialect import REFUSED, Dialect
from headatlas.annotate.llm.endpoint import CallFailed, Endpoint, EndpointDown
from headatlas.annotate.llm.messages import Request
from headatlas.annotate.llm.redact import Redactor
from headatlas.annotate.llm.retry import LONGEST, PASSING, Gate, retry_after
from headatlas.annotate.llm.server_errors import AUTHENTICATION, PAYMENT, UNKNOWN_MODEL, find_error
from headatlas.bounded_body import ACCEPTED, BodyDecoder, BodyError
from headatlas.errors import HeadAtlasError
from headatlas.stopping import run_in_order

if TYPE_CHECKING:
    import httpx

_MOST_BYTES = 16 * 2**20  # of one response, so that a server that never stops does not fill the memory
TOO_LARGE = "too_large"
"""`finish` of a reply that was larger than that."""

_MOST_ERROR_BYTES = 2**16  # that are read of a response with another status than 2xx
_PATIENCE = 3  # calls of one request that may time out
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")

T = TypeVar("T")


class _Again(Exception):
    """The call may succeed later.

    Args:
        reason: what happened.
        wait: seconds that the server asked to wait.
        no_service: nothing answered, or what answered does not speak the protocol.
        late: no answer in time.
    """

    def __init__(self, reason: str, wait: float | None = None, no_service: bool = False, late: bool = False):
        super().__init__(reason)
        self.wait, self.no_service, self.late = wait, no_service, late


@dataclass(frozen=True)
class _Response:
    status: int
    headers: dict[str, str]
    raw: bytes
    """The body, or its beginning if it is too large."""
    too_large: bool


class LLM:
    """An async context manager: `async with LLM(endpoint, cache) as llm: reply = await llm.ask(request)`.

    Args:
        endpoint: model, address, patience.
        cache: where replies are stored; None keeps them as long as this object lives.
        pause: mean seconds before the second try; doubles with each further one.
    """

    def __init__(self, endpoint: Endpoint, cache: ReplyCache | None = None, pause: float = 1.0):
        self.endpoint = endpoint
        self.usage = Usage()
        self._own_cache = cache is None
        self._cache = ReplyCache(":memory:") if cache is None else cache
        self._pause = pause
        self._dialect = Dialect(endpoint)
        self._gate = Gate()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._locks: dict[str, asyncio.Lock] = {}
        self._unanswered = 0  # requests in a row that failed because nothing answered
        self._down: EndpointDown | None = None
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> LLM:
        try:
            import httpx
        except ImportError as error:
            raise HeadAtlasError(
                "asking a model over HTTP needs httpx: install it with pip install 'headatlas[llm]'"
            ) from error
        try:
            httpx.URL(self.endpoint.url)
            self._http = httpx.AsyncClient(
                timeout=httpx.Timeout(self.endpoint.timeout),
                limits=httpx.Limits(max_connections=self.endpoint.concurrency),
                trust_env=not self.endpoint.is_local,
                follow_redirects=False,  # the key is for the address that the user named
            )
        except (httpx.InvalidURL, ValueError, OSError, ImportError) as error:
            reason = self._redactor().message(str(error))
            raise HeadAtlasError(
                f"cannot use {self.endpoint.base_url} or the proxy of this machine ({reason})"
            ) from error
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._redact_record)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._redact_record)
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        if self._own_cache:
            self._cache.close()

    async def ask(self, request: Request) -> Reply:
        """The reply to `request`, from the cache if it was given before.

        Raises:
            CallFailed: no reply in all tries, or the server refuses this request.
            EndpointDown: no call can succeed: key, model or quota refused, or no answer to many calls in a row.
        """
        endpoint = self.endpoint
        key = request.key(endpoint.model, endpoint.temperature, endpoint.max_tokens)
        # One lock for each key, so that a question asked twice at the same time is sent once.
        async with self._locks.setdefault(key, asyncio.Lock()):
            cached = self._cache.get(key)
            if cached is not None:
                self.usage.cached += 1
                return cached
            reply = await self._call(request)
            self._cache.put(key, reply, endpoint.model, request.prompt)
        self.usage.calls += 1
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.completion_tokens += reply.completion_tokens
        return reply

    async def _call(self, request: Request) -> Reply:
        """The reply to `request`, with retries."""
        late = 0
        exponential = wait_random_exponential(multiplier=2 * self._pause, max=LONGEST)

        def stop(state: RetryCallState) -> bool:
            nonlocal late
            late += _failure(state).late
            return late >= _PATIENCE or state.attempt_number >= self.endpoint.tries

        def wait(state: RetryCallState) -> float:
            asked = _failure(state).wait
            if asked is None:
                return exponential(state)
            self._gate.close_for(asked)
            return asked + min(exponential(state), 1.0)  # so that not all waiting callers come back at once

        def count(state: RetryCallState) -> None:
            self.usage.retries += 1

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again), stop=stop, wait=wait, before_sleep=count, reraise=True
        )
        try:
            return await retrying(self._try, request)
        except _Again as error:
            self._unanswered += error.no_service
            if self._unanswered < max(3, self.endpoint.concurrency):
                raise CallFailed(f"no reply from {self.endpoint.model}: {error}") from None
            self._down = EndpointDown(
                f"{self.endpoint.base_url} does not answer ({error}; {self._unanswered} calls in a row, each tried several "
                "times): check the base URL and that the server runs, then run the same command again; replies so far are kept"
            )
            raise self._down from None

    async def _try(self, request: Request) -> Reply:
        """One try, when it is this request's turn."""
        async with self._slots:
            await self._gate.passed()
            if self._down is not None:
                raise self._down
            try:
                reply = await self._converse(request)
            except EndpointDown as error:
                self._down = error
                raise
            except _Again as error:
                if not error.no_service:
                    self._unanswered = 0
                raise
            self._unanswered = 0
            return reply

    async def _converse(self, request: Request) -> Reply:
        """One try; whenever the server refuses a field, the request is changed and sent again."""
        redactor, plain = self._redactor(), False
        for _ in range(5):
            body = self._dialect.body(request, plain)
            response = await self._post(body)
            status, message = self._error(response, redactor)
            if status is None:
                reply = self._reply(response, redactor)
                if plain:
                    self._dialect.drop_schema()
                return reply
            if status in PASSING:
                self._wait_or_stop(response, status, message)
            if status in REFUSED:
                if self._dialect.learn(message, body):
                    continue
                if not plain and "response_format" in body:
                    plain = True
                    continue
                raise CallFailed(f"{self.endpoint.model} refuses this request: HTTP {status} {message}")
            if status == 413:
                raise CallFailed(f"{self.endpoint.model} refuses this request as too large: {message}")
            raise EndpointDown(self._why_down(status, message, redactor))
        raise CallFailed(f"{self.endpoint.model} refuses every form of this request: HTTP {status} {message}")

    def _wait_or_stop(self, response: _Response, status: int, message: str) -> None:
        asked = retry_after(response.headers)
        if asked is not None and asked > LONGEST:
            raise EndpointDown(
                f"{self.endpoint.base_url} asks to wait {asked:,.0f} s: HTTP {status} {message}; replies so far are kept, run "
                "the same command again then"
            )
        raise _Again(f"HTTP {status} {message}".strip(), asked)

    async def _post(self, body: dict[str, Any]) -> _Response:
        import httpx

        if self._http is None:
            raise RuntimeError("LLM.ask must be called within `async with LLM(...)`")
        headers = {"content-type": "application/json", "accept": "application/json", "accept-encoding": ACCEPTED}
        if key := self.endpoint.key():
            headers["authorization"] = f"Bearer {key}"
        sent, message = json.dumps(body).encode(), self._redactor().message

        async def exchange(http: Any) -> _Response:
            async with http.stream("POST", self.endpoint.url, content=sent, headers=headers) as response:
                received = {name.lower(): value for name, value in response.headers.items()}
                most = _MOST_BYTES if response.is_success else _MOST_ERROR_BYTES
                body, chunks = BodyDecoder(received.get("content-encoding", ""), most), []
                async for chunk in response.aiter_raw():
                    chunks.append(body.add(chunk))
                    if body.too_large:
                        break
                body.end()
                return _Response(response.status_code, received, b"".join(chunks), body.too_large)

        try:
            # httpx limits the time between two bytes only, so a server that sends slowly needs a limit of its own.
            return await asyncio.wait_for(exchange(self._http), self.endpoint.timeout)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise _Again(f"no answer within {self.endpoint.timeout:g} s", no_service=True, late=True) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Again(f"cannot connect ({message(str(error)) or type(error).__name__})", no_service=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise EndpointDown(f"{self.endpoint.base_url} cannot be asked ({message(str(error))}): check it") from error
        except BodyError as error:
            raise _Again(f"the response cannot be read: {message(str(error))}", no_service=True) from error
        except httpx.HTTPError as error:
            raise _Again(f"the connection broke ({message(str(error)) or type(error).__name__})") from error

    def _error(self, response: _Response, redactor: Redactor) -> tuple[int | None, str]:
        """The status and the message of the error in a response; (None, "") if it is none."""
        try:
            text = decode(response.raw, response.headers.get("content-type", ""))
        except NotACompletion:
            text = response.raw.decode("utf-8", "replace")
        error = find_error(response.status, None if response.too_large else _json(text), text)
        return (error.status, redactor.message(error.message)) if error else (None, "")

    def _reply(self, response: _Response, redactor: Redactor) -> Reply:
        """The reply in a response without an error."""
        if response.too_large and b'"choices"' in response.raw[: 2**16]:
            return Reply("", TOO_LARGE)  # stored, because it is paid for and would be as large again
        begin = ""
        try:
            if response.too_large:
                raise NotACompletion(f"it has more than {_MOST_BYTES:,} bytes")
            text = decode(response.raw, response.headers.get("content-type", ""))
            begin = redactor.message(text, 60)
            return read_reply(_json(text), redactor)
        except NotACompletion as error:
            reason = redactor.message(str(error)) + (f"; it begins {begin!r}" if begin else "")
            raise _Again(f"the response is not what /chat/completions sends: {reason}", no_service=True) from error

    def _why_down(self, status: int, message: str, redactor: Redactor) -> str:
        endpoint = self.endpoint
        base = redactor.message(endpoint.base_url)
        if status in (AUTHENTICATION, 403):
            key = (
                f"the key in {endpoint.key_env}"
                if endpoint.key()
                else f"a call without a key ({endpoint.key_env} is empty)"
            )
            return (
                f"{base} refuses {key}: HTTP {status} {message}; set {endpoint.key_env}, or name another variable with "
                "--key-env"
            )
        if status == UNKNOWN_MODEL:
            return (
                f"{base}/chat/completions has no model {endpoint.model!r}, or is no chat endpoint: HTTP 404 {message}"
            )
        if status == PAYMENT:
            return (
                f"{base} reports that the quota is spent: {message}; replies so far are kept, run the same command again when "
                "there is more"
            )
        return f"{base}/chat/completions answers HTTP {status} {message}: check the base URL"

    def _redactor(self) -> Redactor:
        return Redactor(self.endpoint.key())

    def _redact_record(self, record: logging.LogRecord) -> bool:
        """A logging filter that removes the key: servers repeat it in headers, which httpcore logs."""
        record.msg, record.args = self._redactor()(record.getMessage()), ()
        return True


def run(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine from ordinary code, also in a notebook, whose event loop is already running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_in_order(make)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()


def _failure(state: RetryCallState) -> _Again:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Again)
    return error


def _json(text: str) -> Any:
    """The JSON value of a text, None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
