"""What is asked: messages with pictures, and the key under which the reply is kept.

Knows Pillow and the chat format; knows no HTTP. A picture enters the key by its pixels, not by its encoding, so that another
version of an image library does not make a paid reply worthless.
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

from headatlas.cogvsr.pictures import upright

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

    def to_wire(self) -> dict[str, Any]:
        """As the chat format has it."""
        if not self.pictures:
            return {"role": self.role, "content": self.text}
        images = [{"type": "image_url", "image_url": {"url": picture.data_url}} for picture in self.pictures]
        return {"role": self.role, "content": [*images, {"type": "text", "text": self.text}]}


@dataclass(frozen=True)
class Request:
    """A whole question to a model.

    `schema` is the JSON schema that the reply should follow (None: free text), `prompt` the version of the prompt, `round` counts
    how often a user has asked for a fresh start: each has replies of its own.
    """

    messages: tuple[Message, ...]
    prompt: str
    schema: dict[str, Any] | None = None
    round: int = 0

    def key(self, model: str, temperature: float | None, max_tokens: int) -> str:
        """64 hex digits: the same for the same model, prompt, text, pictures and settings, and for nothing else."""
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

    def followed_by(self, said: str, reply: str) -> Request:
        """The same conversation, gone on: the model `said` something and gets `reply`."""
        more = (Message("assistant", said), Message("user", reply))
        return Request((*self.messages, *more), self.prompt, self.schema, self.round)
