"""Files from the web, kept in a cache: retried, checked by size and SHA-256, never half there.

Knows HTTP through httpx; knows nothing of datasets. A host that gives no answer five times in a row is left alone, so that
400 images of a dead server cost seconds and not an hour.
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

from headatlas.cogvsr.pictures import MAX_BYTES
from headatlas.errors import HeadAtlasError

MAX_TABLE = 8 * 2**30
_GIVE_UP = 5
_SLOWEST = 1024  # bytes a second, on the whole
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class NotHad(Exception):
    """A file that could not be downloaded; `str(error)` is the reason."""


class Downloads:
    """A cache folder and a client; a context manager, usable from several threads.

    Args:
        cache: folder for the files, made if it is not there. A file's name is the SHA-256 of its URL; beside it stands the
            SHA-256 of its content, with which it is checked when it is used again.
        tries: how often a file is asked for.
        pause: seconds before the second try; twice as long before each later one.
        timeout: seconds for a connection, and for each read.
        patience: seconds after which a file that comes at less than 1,024 bytes a second is given up.
    """

    def __init__(self, cache: Path, tries: int = 4, pause: float = 0.5, timeout: float = 20.0, patience: float = 60.0):
        self._folder = cache / "downloads"
        self._tries, self._pause, self._patience = tries, pause, patience
        self._client = httpx.Client(
            timeout=timeout, follow_redirects=True, max_redirects=5, headers={"User-Agent": "headatlas"}
        )
        self._silent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def image(self, url: str, check: Callable[[bytes], str | None]) -> Path:
        """The file of an image; `check` tells what is wrong with its bytes. Raises `NotHad` with the reason."""
        return self._get(url, "", MAX_BYTES, lambda path: check(path.read_bytes()))

    def table(self, url: str, suffix: str, sha256: str = "") -> Path:
        """The file of a table. Raises `HeadAtlasError` if it cannot be had or has another SHA-256 than the one given."""

        def check(path: Path) -> str | None:
            came = _digest(path)
            return f"SHA-256 is {came}, expected {sha256.lower()}" if sha256 and came != sha256.lower() else None

        try:
            return self._get(url, suffix, MAX_TABLE, check)
        except NotHad as error:
            raise HeadAtlasError(f"{url}: {error}") from error

    def _get(self, url: str, suffix: str, most: int, check: Callable[[Path], str | None]) -> Path:
        name = hashlib.sha256(url.encode()).hexdigest()
        path = self._folder / name[:2] / f"{name}{suffix}"
        seal = path.with_name(path.name + ".sha256")
        if path.is_file() and seal.is_file() and seal.read_text() == _digest(path) and check(path) is None:
            return path
        try:
            scheme, host, *_ = urlsplit(url)
        except ValueError as error:
            raise NotHad(f"no valid address: {error}") from error
        if scheme not in ("http", "https"):
            raise NotHad(f"expected an http or https address, came {url[:80]!r}")
        if self._silent[host] >= _GIVE_UP:
            raise NotHad(f"not asked for: {host} gave no answer {_GIVE_UP} times in a row")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                beside = Path(file.name)
            try:
                self._load(url, host, beside, most)
                if fault := check(beside):
                    raise NotHad(fault)
                seal.write_text(_digest(beside))
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise HeadAtlasError(f"cannot write to the cache {self._folder} ({error.strerror or error})") from error
        return path

    def _load(self, url: str, host: str, path: Path, most: int) -> None:
        reason = ""
        for attempt in range(self._tries):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
            try:
                with self._client.stream("GET", url) as reply, path.open("wb") as file:
                    if reply.status_code in _AGAIN:
                        reason = f"the server said {reply.status_code} {self._tries} times"
                        self._wait(reply)
                        continue
                    if reply.status_code != 200:
                        raise NotHad(f"the server said {reply.status_code} {reply.reason_phrase}".strip())
                    size, begun = 0, time.monotonic()
                    for chunk in reply.iter_bytes():
                        size += len(chunk)
                        if size > most:
                            raise NotHad(f"more than {most:,} bytes")
                        # The client's timeout counts from byte to byte: a server that drips must end too.
                        if (spent := time.monotonic() - begun) > self._patience and size < _SLOWEST * spent:
                            raise NotHad(f"given up: {size:,} bytes in {spent:.0f} s")
                        file.write(chunk)
                self._silent[host] = 0
                return
            except httpx.InvalidURL as error:
                raise NotHad(f"no valid address: {error}") from error
            except httpx.TooManyRedirects as error:
                raise NotHad("more than 5 redirections") from error
            except httpx.HTTPError as error:
                reason = f"no answer from {host} ({type(error).__name__})"
        with self._lock:
            self._silent[host] += "no answer" in reason
        raise NotHad(reason)

    def _wait(self, reply: httpx.Response) -> None:
        """Wait as long as the server asks, half a minute at most."""
        asked = reply.headers.get("Retry-After", "")
        if re.fullmatch(r"[0-9]{1,9}", asked):
            time.sleep(min(30, int(asked)))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
