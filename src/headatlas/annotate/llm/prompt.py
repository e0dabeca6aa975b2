"""Read prompts from files of the package. The version of a prompt includes a digest of its text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from headatlas.printing import brief


@dataclass(frozen=True)
class Prompt:
    """A prompt's text and its version: file name and 8 hex digits of its content, such as `decompose.v1-0f3a2b1c`."""

    text: str
    version: str

    __repr__ = brief

    @classmethod
    def load(cls, package: str, name: str) -> Prompt:
        """Read `prompts/{name}.md` of a package."""
        text = (resources.files(package) / "prompts" / f"{name}.md").read_text(encoding="utf-8")
        return cls(text, f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")

    def fill(self, **values: Any) -> str:
        """The text with its `{{ names }}` replaced; jinja2 raises `UndefinedError` for a name that is not given."""
        # Plain text for a model, not HTML: nothing is escaped.
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True)
        return environment.from_string(self.text).render(**values)
