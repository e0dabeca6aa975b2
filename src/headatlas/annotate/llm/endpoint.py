"""`Endpoint` (which model is asked, where, with which limits), and the errors that asking can raise.

The API key is read from its environment variable for each call and stored nowhere.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from headatlas.annotate.llm.costs import Prices
from headatlas.errors import HeadAtlasError


class CallFailed(HeadAtlasError):
    """One call got no reply in all its tries; other calls may succeed."""


class EndpointDown(HeadAtlasError):
    """No further call can succeed: the key is refused, the model unknown, the quota spent, or nothing answers."""


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible `/chat/completions` (OpenAI, vLLM, Ollama, `transformers serve`, ...).

    Raises:
        HeadAtlasError: a value is out of its range, or the address is no base URL.
    """

    model: str
    """The model's name, as the endpoint knows it."""
    base_url: str = "https://api.openai.com/v1"
    """Address to which `/chat/completions` is appended. Spaces and slashes at its ends, and `/chat/completions`, are removed."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key; if it is unset or empty, no key is sent."""
    temperature: float | None = 0.0
    """0 to 2; None leaves it to the server. Servers that refuse a temperature are asked without."""
    max_tokens: int = 8192
    """Most tokens of a reply, thinking included."""
    timeout: float = 180.0
    """Seconds for one whole reply."""
    tries: int = 6
    """How often a call is made when the server is busy or broken; at most 3 times when it did not answer in time, because a
    late answer may be charged for."""
    concurrency: int = 8
    """Calls under way at once."""
    prices: Prices | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _base_url(self.base_url))
        if not self.model.strip():
            raise HeadAtlasError("model must be the name of a model, got an empty one")
        for name, least in (("max_tokens", 1), ("timeout", 0.001), ("tries", 1), ("concurrency", 1)):
            if not getattr(self, name) >= least:
                raise HeadAtlasError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.temperature is not None and not (math.isfinite(self.temperature) and 0 <= self.temperature <= 2):
            raise HeadAtlasError(f"temperature must be between 0 and 2, got {self.temperature}")

    @property
    def url(self) -> str:
        """The address to which a call is posted."""
        return f"{self.base_url}/chat/completions"

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine; no proxy is used then."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def key(self) -> str:
        """The API key, read from the environment now; "" if there is none."""
        key = os.environ.get(self.key_env, "").strip()
        if not key.isascii() or not key.isprintable():
            raise HeadAtlasError(f"the key in {self.key_env} has characters that no API key has; set it again")
        return key


def _base_url(text: str) -> str:
    """A base URL, checked and in its shortest form. A URL that may hold a secret is not repeated in the message."""
    url = text.strip()
    secret = "@" in url or "?" in url or "#" in url
    shown = "a URL that is not shown because it may contain a secret" if secret else repr(url[:80])
    wanted = "the endpoint's base URL must look like http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises ValueError if it is no port)
    except ValueError as error:
        raise HeadAtlasError(f"{wanted}, got {shown}") from error
    if not secret and re.match(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9a-f:]+\])(?::[0-9]+)?(?:/|$)", url):
        raise HeadAtlasError(f"{wanted}, got {shown}; did you mean {_scheme(url)}://{url[:80]}?")
    if parts.scheme not in ("http", "https") or not _is_host(parts):
        raise HeadAtlasError(f"{wanted}, got {shown}")
    if secret:
        raise HeadAtlasError(
            "the base URL must have no user, password, query or fragment: put the key into an environment variable and name "
            "it with --key-env"
        )
    url = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if twice := re.search(r"(/v[0-9]+)\1$", url):
        raise HeadAtlasError(f"{wanted}, got {shown} with {twice[1]} twice; did you mean {url.removesuffix(twice[1])}?")
    return url


def _scheme(url: str) -> str:
    return "http" if re.match(r"localhost|[0-9.]+[:/]|[0-9.]+$|\[", url) else "https"


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    return bool(host) and not re.search(r"[\s\x00-\x1f\\%<>\"'`{}|^]", parts.netloc + parts.path)
