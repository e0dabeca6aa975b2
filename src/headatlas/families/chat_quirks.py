"""What a family needs said that neither its processor nor its chat template tells: one small entry a family, data only.

Knows model types and text. A family that is not here needs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Manner:
    """How a conversation with one family is written.

    Attributes:
        template: the chat template (Jinja) for checkpoints that come without one.
        appended: what the processor writes behind every text; it is taken off before, so that it stands there once.
        prefix: the family reads the picture and the first request in both directions and whatever follows causally (token types
            0 and 1). Its processor calls everything prefix, so that an answer would be seen before it is given.
        broken: releases of transformers that cannot run the family, and why.
    """

    template: str | None = None
    appended: str = ""
    prefix: bool = False
    broken: Mapping[str, str] = field(default_factory=dict)


_REQUESTS = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else '\\n' }}{% if message['role'] == 'assistant' %}{{ '\\n' }}{% endif %}"
    "{% endfor %}"
)
"""A request ends in a line's end, an answer in the end-of-text token: PaliGemma's form, which knows no roles, again and again."""

MANNERS: dict[str, Manner] = {
    "llama4": Manner(
        broken={"5.24.0": "its forward asks the language model's output for image_outputs, which it has not"}
    ),
    "paligemma": Manner(template=_REQUESTS, appended="\n", prefix=True),
}
"""What is declared, by model type."""
