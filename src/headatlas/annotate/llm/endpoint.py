"""Which model is asked, where, and how patiently; and the two ways in which asking can fail.

Knows URLs and the name of the environment variable that holds the key. The key itself is read when a call is made and kept
nowhere: not here, not on disk, not in an error.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from headatlas.annotate.llm.costs import Prices
from headatlas.errors import HeadAtlasError


class CallFailed(HeadAtlasError):
    """One call got no reply, after all its tries. Other calls may fare better."""


class EndpointDown(HeadAtlasError):
    """No further call makes sense: the key is refused, the model unknown, the quota spent, or nobody answers at all."""


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible `/chat/completions` (OpenAI, vLLM, Ollama, `transformers serve`, ...).

    Raises `HeadAtlasError` where a value cannot be meant.
    """

    model: str
    base_url: str = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key; unset or empty means that no key is sent."""
    temperature: float | None = 0.0
    """None leaves it to the server. Servers that refuse a temperature are asked without."""
    max_tokens: int = 8192
    """Most tokens of a reply, thinking included."""
    timeout: float = 180.0
    """Seconds for one whole reply."""
    tries: int = 6
    """How often a call is made in all when the server is busy or broken; at most 3 when it did not answer in time, for a late
    answer may be charged for."""
    concurrency: int = 8
    """Calls under way at once."""
    prices: Prices | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HeadAtlasError(
                f"expected the endpoint's base URL such as http://127.0.0.1:8000/v1, came {self.base_url!r:.80}"
            )
        if parts.username or parts.password or parts.query:
            raise HeadAtlasError(
                "expected a base URL without user, password or query: put the key into an environment variable and "
                "name it with --key-env"
            )
        if not self.model:
            raise HeadAtlasError("expected the name of a model, came an empty one")
        for name, least in (("max_tokens", 1), ("timeout", 0.001), ("tries", 1), ("concurrency", 1)):
            if not getattr(self, name) >= least:
                raise HeadAtlasError(f"expected {name} of at least {least}, came {getattr(self, name)}")

    @property
    def url(self) -> str:
        """Where a call is posted to."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is this machine: then no proxy is asked."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def key(self) -> str:
        """The API key as the environment has it now; "" if there is none."""
        key = os.environ.get(self.key_env, "").strip()
        if not key.isascii() or not key.isprintable():
            raise HeadAtlasError(f"the key in {self.key_env} has characters that no key has: set it again")
        return key
