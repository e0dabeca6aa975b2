"""Count calls, tokens and dollars. Prices change, so the user states them."""

from __future__ import annotations

from dataclasses import dataclass

from headatlas.errors import HeadAtlasError


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens. Discounts are not taken into account.

    Raises:
        HeadAtlasError: a price is negative or not a number.
    """

    input: float
    """Price of what is sent: prompts and images."""
    output: float
    """Price of what is received: replies and thoughts."""

    def __post_init__(self) -> None:
        if not (0 <= self.input < 1e6 and 0 <= self.output < 1e6):
            raise HeadAtlasError(
                f"prices must be dollars per million tokens, at least 0, got {self.input} and {self.output}"
            )


@dataclass
class Usage:
    """Counts of one session. Tokens are those that the server reported for the replies that arrived."""

    calls: int = 0
    """Replies that came from the server."""
    cached: int = 0
    """Replies that came from the cache and cost nothing."""
    retries: int = 0
    """Calls that were retried because the server was busy, failed or did not answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prices: Prices | None) -> float | None:
        """US dollars, None if the prices are not known."""
        if prices is None:
            return None
        return (self.prompt_tokens * prices.input + self.completion_tokens * prices.output) / 1e6
