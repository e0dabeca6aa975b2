"""One model behind an endpoint: `LLM.ask` sends a request, waits out a busy or broken server, keeps the reply, counts the cost.

Knows httpx and asyncio. A reply is in the cache, on the disk, before it is returned. What this cannot save: a reply that had not
arrived when the process was killed, or when the time ran out; the server may have charged for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from headatlas.annotate.llm.cache import Reply, ReplyCache
from headatlas.annotate.llm.costs import Usage
from headatlas.annotate.llm.dialect import REFUSED, Dialect
from headatlas.annotate.llm.endpoint import CallFailed, Endpoint, EndpointDown
from headatlas.annotate.llm.messages import Request
from headatlas.annotate.llm.retry import LONGEST, PASSING, Gate, backoff, retry_after
from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    import httpx

_MOST_BYTES = 16 * 2**20  # of one reply: a server that never stops must not fill the memory
TOO_LARGE = "too_large"
"""Why a reply ended that had more bytes than that."""

_PATIENCE = 3  # tries after a timeout

T = TypeVar("T")


class _Again(Exception):
    """The call may succeed later. `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float | None = None, silent: bool = False, late: bool = False):
        super().__init__(reason)
        self.wait, self.silent, self.late = wait, silent, late


class LLM:
    """An async context manager: `async with LLM(endpoint, cache) as llm: reply = await llm.ask(request)`.

    Args:
        endpoint: Model, address, patience.
        cache: Where replies are kept; None keeps them only as long as this object lives.
        pause: Seconds before the second try; doubles with every further one.
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
        self._asking: dict[str, asyncio.Lock] = {}
        self._unanswered = 0
        self._down: EndpointDown | None = None
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> LLM:
        try:
            import httpx
        except ImportError as error:
            raise HeadAtlasError(
                "asking a model over HTTP needs httpx: install it with pip install 'headatlas[llm]'"
            ) from error
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(self.endpoint.timeout),
            limits=httpx.Limits(max_connections=self.endpoint.concurrency),
            trust_env=not self.endpoint.is_local,
            follow_redirects=False,  # the key is for the address that the user named
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        if self._own_cache:
            self._cache.close()

    async def ask(self, request: Request) -> Reply:
        """The reply to `request`, from the cache if it was ever given.

        Raises:
            CallFailed: No reply after all tries, or the server refuses this request.
            EndpointDown: No call can succeed: key, model or quota refused, or nothing but silence for many calls.
        """
        endpoint = self.endpoint
        key = request.key(endpoint.model, endpoint.temperature, endpoint.max_tokens)
        # One lock a key: the same question asked twice at once is asked once.
        async with self._asking.setdefault(key, asyncio.Lock()):
            kept = self._cache.get(key)
            if kept is not None:
                self.usage.cached += 1
                return kept
            reply = await self._insist(request)
            self._cache.put(key, reply, endpoint.model, request.prompt)
        self.usage.calls += 1
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.completion_tokens += reply.completion_tokens
        return reply

    async def _insist(self, request: Request) -> Reply:
        late, last = 0, ""
        for attempt in range(self.endpoint.tries):
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
                    again, last = error, str(error)
                else:
                    self._unanswered = 0
                    return reply
            if not again.silent:
                self._unanswered = 0
            late += again.late
            if late >= _PATIENCE or attempt + 1 == self.endpoint.tries:
                break
            self.usage.retries += 1
            if again.wait is not None:
                self._gate.close_for(again.wait)
                # A little more than asked for, and not the same for all who wait.
                await asyncio.sleep(min(again.wait, LONGEST) + backoff(0, self._pause / 4))
            else:
                await asyncio.sleep(backoff(attempt, self._pause))
        self._unanswered += again.silent
        if self._unanswered >= max(3, self.endpoint.concurrency):
            self._down = EndpointDown(
                f"{self.endpoint.base_url} does not answer ({last}; {self._unanswered} calls in a row, each tried several "
                "times): check that the server runs, then run the same command again; replies so far are kept"
            )
            raise self._down
        raise CallFailed(f"no reply from {self.endpoint.model}: {last}")

    async def _converse(self, request: Request) -> Reply:
        """One try; the form of the request is changed as often as the server refuses a field of it."""
        plain = False
        for _ in range(5):
            body = self._dialect.body(request, plain)
            status, headers, text = await self._post(body)
            if 200 <= status < 300:
                if plain:
                    self._dialect.drop_schema()
                # Too large is kept as a reply that says nothing: it is paid for, and would be as large again.
                return Reply("", TOO_LARGE) if text is None else self._read(text)
            text = text or ""
            said = self._clean(_error_text(text))
            if status in PASSING and "insufficient_quota" not in text:
                raise _Again(f"HTTP {status} {said}".strip(), retry_after(headers))
            if status in REFUSED:
                if self._dialect.learn(said, body):
                    continue
                if not plain and "response_format" in body:
                    plain = True
                    continue
                raise CallFailed(f"{self.endpoint.model} refuses this request: HTTP {status} {said}")
            if status == 413:
                raise CallFailed(f"{self.endpoint.model} refuses this request as too large: {said}")
            raise EndpointDown(self._why_down(status, said))
        raise CallFailed(f"{self.endpoint.model} refuses every form of this request: HTTP {status} {said}")

    async def _post(self, body: dict[str, Any]) -> tuple[int, dict[str, str], str | None]:
        import httpx

        if self._http is None:
            raise RuntimeError("LLM.ask outside of `async with LLM(...)`")
        headers = {"content-type": "application/json", "accept": "application/json"}
        if key := self.endpoint.key():
            headers["authorization"] = f"Bearer {key}"
        sent = json.dumps(body).encode()

        async def exchange(http: Any) -> tuple[int, dict[str, str], str | None]:
            async with http.stream("POST", self.endpoint.url, content=sent, headers=headers) as response:
                chunks, size = [], 0
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > _MOST_BYTES:
                        break
                text = b"".join(chunks).decode("utf-8", "replace") if size <= _MOST_BYTES else None
                return response.status_code, {k.lower(): v for k, v in response.headers.items()}, text

        try:
            # httpx counts the seconds between two bytes; a server that drips must end too.
            return await asyncio.wait_for(exchange(self._http), self.endpoint.timeout)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise _Again(f"no answer within {self.endpoint.timeout:g} s", silent=True, late=True) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Again(f"cannot connect ({self._clean(str(error)) or type(error).__name__})", silent=True) from error
        except httpx.HTTPError as error:
            raise _Again(f"the connection broke ({self._clean(str(error)) or type(error).__name__})") from error

    def _read(self, text: str) -> Reply:
        """The reply in a response's body."""
        try:
            body = json.loads(text)
            choice = body["choices"][0]
            message = choice["message"]
            content = message.get("content")
            if isinstance(content, list):  # some servers reply in parts
                content = "".join(str(part.get("text") or "") for part in content)
            refusal, finish = message.get("refusal"), choice.get("finish_reason")
            model, usage = body.get("model"), body.get("usage")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _Again(f"the reply is not what /chat/completions sends ({self._clean(text[:60])!r})") from error
        if refusal and not content:
            content, finish = str(refusal), "refusal"
        # Clean: a server may repeat the key, and the cache lies on a disk.
        said, finish, model = (
            self._clean(str(content or ""), None),
            self._clean(str(finish or "stop")),
            str(model or ""),
        )
        return Reply(
            said, finish, self._clean(model), *(_count(usage, f"{side}_tokens") for side in ("prompt", "completion"))
        )

    def _why_down(self, status: int, said: str) -> str:
        endpoint = self.endpoint
        if status in (401, 403):
            key = (
                f"the key in {endpoint.key_env}"
                if endpoint.key()
                else f"a call without a key ({endpoint.key_env} is empty)"
            )
            told = f"{endpoint.base_url} refuses {key}: HTTP {status} {said}"
            return f"{told}; set {endpoint.key_env}, or name another variable with --key-env"
        if status == 404:
            return f"{endpoint.url} knows no model {endpoint.model!r}, or is no chat endpoint: HTTP 404 {said}"
        if status in (402, 429):
            told = f"{endpoint.base_url} says that the quota is spent: {said}"
            return f"{told}; replies so far are kept, run again when there is more"
        return f"{endpoint.url} answers HTTP {status} {said}: check the base URL"

    def _clean(self, text: str, most: int | None = 300) -> str:
        """Text of a server, without the key; one printable line of at most `most` characters unless that is None."""
        key = self.endpoint.key()
        text = text.replace(key, "[key]") if key else text
        text = text.encode("utf-8", "replace").decode()  # JSON may spell half a surrogate pair, which no file takes
        if most is None:
            return text
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]


def run(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end from ordinary code, in a notebook too, whose event loop is already running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()


def _count(usage: object, name: str) -> int:
    """A server's count of tokens; what cannot be one is 0: a reply that is paid for is not lost for its bill."""
    tokens = usage.get(name) if isinstance(usage, dict) else None
    return int(tokens) if isinstance(tokens, (int, float)) and 0 <= tokens < 1e12 else 0


def _error_text(text: str) -> str:
    """The message in an error's body, whatever form it has."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        return str(error.get("message") or error.get("detail") or error)
    return str(error)
