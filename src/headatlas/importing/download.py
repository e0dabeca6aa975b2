"""Download files into a cache, with retries, checks of size and SHA-256, and atomic writes.

A host that fails to answer five times in a row is not asked again, so that an import with hundreds of images on a dead server
ends within seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from headatlas.bounded_body import ACCEPTED, BodyDecoder, BodyError
from headatlas.errors import HeadAtlasError
from headatlas.pictures import MAX_BYTES

MAX_TABLE = 8 * 2**30
_GIVE_UP = 5  # times in a row without an answer
_SLOWEST = 1024  # bytes per second on average
_LONGEST_WAIT = 30.0  # seconds, whatever a server asks for
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class NotHad(Exception):
    """A file that could not be downloaded; `str(error)` is the reason."""


class _Again(Exception):
    """The download may succeed later; `wait` is the number of seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0, silent: bool = False):
        super().__init__(reason)
        self.wait, self.silent = wait, silent


class Downloads:
    """A cache folder and an HTTP client; a context manager, safe to use from several threads.

    Args:
        cache: folder for the files, created if it is missing. A file is named by the SHA-256 of its URL. The SHA-256 of its
            content is stored beside it and checked whenever the file is used again.
        tries: how often a file is requested.
        pause: seconds before the second try; doubled before each later one.
        timeout: seconds for a connection, and for each read.
        patience: seconds after which a download slower than 1,024 bytes per second is given up.

    Raises:
        HeadAtlasError: the proxy settings of this machine cannot be used.
    """

    def __init__(self, cache: Path, tries: int = 4, pause: float = 0.5, timeout: float = 20.0, patience: float = 60.0):
        self._folder = cache / "downloads"
        self._tries, self._pause, self._patience = tries, pause, patience
        try:
            headers = {"User-Agent": "headatlas", "Accept-Encoding": ACCEPTED}
            self._client = httpx.Client(
                timeout=timeout,
                follow_redirects=True,
                max_redirects=5,
                headers=headers,
            )
        except (httpx.InvalidURL, ValueError, OSError, ImportError) as error:
            raise HeadAtlasError(f"cannot download with the proxy settings of this machine ({error})") from error
        self._silent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def image(self, url: str, check: Callable[[bytes], str | None]) -> Path:
        """The file of an image; `check` returns what is wrong with its bytes, or None. Raises `NotHad` with the reason."""
        return self._get(url, "", MAX_BYTES, lambda path: check(path.read_bytes()))

    def table(self, url: str, suffix: str, sha256: str = "") -> Path:
        """The file of a table. Raises `HeadAtlasError` if it cannot be downloaded or does not have the given SHA-256."""

        def check(path: Path) -> str | None:
            digest, wanted = _digest(path), sha256.lower()
            return f"its SHA-256 must be {wanted}, got {digest}" if wanted and digest != wanted else None

        try:
            return self._get(url, suffix, MAX_TABLE, check)
        except NotHad as error:
            raise HeadAtlasError(f"{url}: {error}") from error

    def _get(self, url: str, suffix: str, most: int, check: Callable[[Path], str | None]) -> Path:
        name = hashlib.sha256(url.encode()).hexdigest()
        path = self._folder / name[:2] / f"{name}{suffix}"
        seal = path.with_name(path.name + ".sha256")
        if path.is_file() and seal.is_file() and seal.read_bytes() == _digest(path).encode() and check(path) is None:
            return path
        try:
            scheme, host, *_ = urlsplit(url)
        except ValueError as error:
            raise NotHad(f"no valid address: {error}") from error
        if scheme not in ("http", "https"):
            raise NotHad(f"the address must be http or https, got {url[:80]!r}")
        if self._silent[host] >= _GIVE_UP:
            raise NotHad(f"not asked for: {host} gave no answer {_GIVE_UP} times in a row")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                part = Path(file.name)
            try:
                self._load(url, host, part, most)
                if fault := check(part):
                    raise NotHad(fault)
                seal.write_text(_digest(part))
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise HeadAtlasError(f"cannot write to the cache {self._folder} ({error.strerror or error})") from error
        return path

    def _load(self, url: str, host: str, path: Path, most: int) -> None:
        """Download `url` to `path`, with retries."""
        exponential = wait_exponential(multiplier=self._pause, max=_LONGEST_WAIT)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return exponential(state) + (error.wait if isinstance(error, _Again) else 0.0)

        retrying = Retrying(
            stop=stop_after_attempt(self._tries), wait=wait, retry=retry_if_exception_type(_Again), reraise=True
        )
        try:
            retrying(self._try, url, host, path, most)
        except _Again as error:
            with self._lock:
                self._silent[host] += error.silent
            raise NotHad(str(error)) from error
        with self._lock:
            self._silent[host] = 0

    def _try(self, url: str, host: str, path: Path, most: int) -> None:
        try:
            with self._client.stream("GET", url) as reply, path.open("wb") as file:
                if reply.status_code in _AGAIN:
                    raise _Again(f"the server said {reply.status_code} {self._tries} times", _asked_to_wait(reply))
                if reply.status_code != 200:
                    raise NotHad(f"the server said {reply.status_code} {reply.reason_phrase}".strip())
                body, size, begun = BodyDecoder(reply.headers.get("content-encoding", ""), most), 0, time.monotonic()
                for chunk in reply.iter_raw():
                    size += len(chunk)
                    decoded = body.add(chunk)
                    if body.too_large:
                        raise NotHad(f"more than {most:,} bytes")
                    # The client's timeout counts from byte to byte; a server that sends byte by byte must end too.
                    if (spent := time.monotonic() - begun) > self._patience and size < _SLOWEST * spent:
                        raise NotHad(f"given up: {size:,} bytes in {spent:.0f} s")
                    file.write(decoded)
                body.end()
        except (httpx.InvalidURL, UnicodeError) as error:
            raise NotHad(f"no valid address: {error}") from error
        except httpx.TooManyRedirects as error:
            raise NotHad("more than 5 redirections") from error
        except BodyError as error:
            raise NotHad(f"the response cannot be read: {error}") from error
        except httpx.HTTPError as error:
            raise _Again(f"no answer from {host} ({type(error).__name__})", silent=True) from error


def _asked_to_wait(reply: httpx.Response) -> float:
    """The seconds that a server asks to wait, at most 30; 0 if it does not ask."""
    value = reply.headers.get("Retry-After", "")
    return min(_LONGEST_WAIT, float(value)) if re.fullmatch(r"[0-9]{1,9}", value) else 0.0


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
