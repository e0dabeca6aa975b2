"""The detector `endpoint`: a model behind an OpenAI-compatible endpoint that answers with boxes, or outlines, as JSON.

An outline (`mask`: a polygon of points) is used as the box around it. Replies are cached by picture, also on disk if
`cache` is given. Needs the extra `llm`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from headatlas.cogvsr.schema import Box, Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.detectors.base import Detections, detector, picture_key, things_named

PROMPT = """Find these things in the picture: {things}.
Answer with JSON: {{"things": [{{"label": "...", "box": [x0, y0, x1, y1], "mask": [[x, y], ...]}}]}}, one entry for
each thing that is there. x runs from 0 at the left edge to 1 at the right, y from 0 at the top to 1 at the bottom.
Give a box, or as mask the points of the thing's outline, or both. Use the names given here as labels. Leave out what is
not in the picture."""

VERSION = "detect-1"


class Thing(BaseModel):
    """One thing as the model describes it."""

    label: str
    box: tuple[float, float, float, float] | None = None
    mask: list[tuple[float, float]] = Field(default_factory=list)

    def corners(self) -> Box | None:
        """Its box, or that around its outline; None for neither or for one of no area or outside 0..1."""
        if self.box is not None:
            x0, y0, x1, y1 = self.box
        elif self.mask:
            x0, y0 = min(x for x, _ in self.mask), min(y for _, y in self.mask)
            x1, y1 = max(x for x, _ in self.mask), max(y for _, y in self.mask)
        else:
            return None
        return Box(x0=x0, y0=y0, x1=x1, y1=y1) if 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 else None


class Things(BaseModel):
    """The whole reply."""

    things: list[Thing]


@detector("endpoint")
class EndpointDetector:
    """Boxes from a model that sees pictures.

    Args:
        source: the model's name, as the endpoint knows it.
        base_url: the endpoint, by default OpenAI's.
        key_env: environment variable with the API key.
        cache: file that replies are kept in; None keeps them in memory.

    Raises:
        HeadAtlasError: the model's name is missing; when called, the endpoint gives no usable reply.
    """

    def __init__(
        self, source: str = "", base_url: str = "", key_env: str = "OPENAI_API_KEY", cache: str | Path | None = None
    ) -> None:
        from headatlas.annotate.llm import Endpoint

        if not source:
            raise HeadAtlasError("detector 'endpoint' needs a model's name: write it as endpoint:MODEL")
        address: dict[str, Any] = {"base_url": base_url} if base_url else {}
        self.endpoint = Endpoint(source, key_env=key_env, **address)
        self.cache = cache
        self._seen: dict[tuple[str, tuple[str, ...]], Detections] = {}

    @property
    def fingerprint(self) -> str:
        """Covers model, address and prompt."""
        return f"endpoint:{self.endpoint.model}:{self.endpoint.base_url}:{VERSION}"

    def __call__(self, question: Question) -> Detections:
        """Boxes of the things that the question names."""
        words = tuple(things_named(question))
        if not question.images or not words:
            return []
        key = (picture_key(question.images[0]), words)
        if key not in self._seen:
            self._seen[key] = self._ask(question, words)
        return list(self._seen[key])

    def _ask(self, question: Question, words: tuple[str, ...]) -> Detections:
        from headatlas.annotate.llm import LLM, Message, Picture, ReplyCache, Request, ask_for, run

        text = PROMPT.format(things=", ".join(words))
        request = Request((Message("user", text, (Picture(question.images[0]),)),), VERSION)

        async def ask() -> Things:
            store = None if self.cache is None else ReplyCache(self.cache)
            try:
                async with LLM(self.endpoint, store) as llm:
                    return (await ask_for(llm, request, Things, _faults)).value
            finally:
                if store is not None:
                    store.close()

        detections = [(thing.label, thing.corners()) for thing in run(ask).things]
        return [(label, box) for label, box in detections if box is not None]


async def _faults(reply: Things) -> list[str]:
    """What is wrong with a reply, in words that are sent back to the model."""
    return [
        f"thing {i}: box must be x0, y0, x1, y1 with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, got {thing.box or thing.mask}"
        for i, thing in enumerate(reply.things)
        if thing.corners() is None
    ]
