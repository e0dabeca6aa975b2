"""What asking cost: calls, tokens, dollars. Knows arithmetic only; prices change, so the user states them."""

from __future__ import annotations

from dataclasses import dataclass

from headatlas.errors import HeadAtlasError


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens, in (prompt, image) and out (reply, thinking). Discounts are not known."""

    input: float
    output: float

    def __post_init__(self) -> None:
        if not (0 <= self.input < 1e6 and 0 <= self.output < 1e6):
            raise HeadAtlasError(
                f"expected prices in dollars for a million tokens, came {self.input} and {self.output}"
            )


@dataclass
class Usage:
    """Counts of one session. Tokens are those that the server reported, for replies that arrived."""

    calls: int = 0
    """Replies that came from the server."""
    cached: int = 0
    """Replies that were in the cache and cost nothing."""
    retries: int = 0
    """Calls made again because the server was busy, broken or silent."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prices: Prices | None) -> float | None:
        """US dollars, None where no prices are known."""
        if prices is None:
            return None
        return (self.prompt_tokens * prices.input + self.completion_tokens * prices.output) / 1e6
