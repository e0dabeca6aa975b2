"""Requests to a model: messages with pictures, and the key under which their reply is stored.

A picture enters the key by its pixels, not its encoding, so that another version of an image library does not invalidate
replies that were paid for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from PIL import Image

from headatlas.pictures import upright
from headatlas.printing import brief

Role = Literal["system", "user", "assistant"]


class Picture:
    """An image to send: upright, RGB, at most `side` pixels wide and high, as PNG in a data URL (JPEG above 1 MB)."""

    def __init__(self, image: Image.Image, side: int = 1024):
        small = upright(image)
        if max(small.size) > side:
            small = small.copy()
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
        self._image = small

    @cached_property
    def digest(self) -> str:
        """32 hex digits of size and pixels."""
        data = repr(self._image.size).encode() + self._image.tobytes()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    @cached_property
    def data_url(self) -> str:
        """The image itself, base64."""
        kind, buffer = "png", io.BytesIO()
        self._image.save(buffer, format="PNG")
        if buffer.tell() > 2**20:
            kind, buffer = "jpeg", io.BytesIO()
            self._image.save(buffer, format="JPEG", quality=92)
        return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class Message:
    """One message; pictures come before its text."""

    role: Role
    text: str
    pictures: tuple[Picture, ...] = ()

    __repr__ = brief

    def to_wire(self) -> dict[str, Any]:
        """The message in the chat format."""
        if not self.pictures:
            return {"role": self.role, "content": self.text}
        images = [{"type": "image_url", "image_url": {"url": picture.data_url}} for picture in self.pictures]
        return {"role": self.role, "content": [*images, {"type": "text", "text": self.text}]}


@dataclass(frozen=True)
class Request:
    """A whole request to a model."""

    messages: tuple[Message, ...]
    prompt: str
    """Version of the prompt."""
    schema: dict[str, Any] | None = None
    """JSON schema that the reply should follow; None for free text."""
    round: int = 0
    """Each number has its own cached replies; with another number the model is asked again."""

    __repr__ = brief

    def key(self, model: str, temperature: float | None, max_tokens: int) -> str:
        """64 hex digits that depend on model, prompt, text, pictures and settings, and on nothing else."""
        content = {
            "model": model,
            "prompt": self.prompt,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "schema": self.schema,
            "round": self.round,
            "messages": [[m.role, m.text, [p.digest for p in m.pictures]] for m in self.messages],
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def followed_by(self, reply: str, answer: str) -> Request:
        """The same conversation continued: the model's `reply`, and the user's `answer` to it."""
        more = (Message("assistant", reply), Message("user", answer))
        return Request((*self.messages, *more), self.prompt, self.schema, self.round)
