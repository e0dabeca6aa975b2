"""Check the chat template of a checkpoint: a damaged one must neither hang the process nor fill the memory."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jinja2

from headatlas.errors import HeadAtlasError
from headatlas.peak_memory import peak_memory

SECONDS = 10.0
"""How long a template may take for one short request."""
MEMORY = 1 << 30
"""How many bytes the process may grow by during that time."""
LARGEST = 10_000_000
"""The largest whole number, and product of whole numbers such as `'a' * 1000 * 1000`, that a template may write."""
_WIDTH = re.compile(r"[%:][^\s%{}\d]{0,4}\d{8,}")
"""A width of more than 7 digits in a text that may be a format, such as `'%99999999d'`."""


def check_template(name: str, template: object) -> None:
    """Raise if a template computes a power or writes a huge number: one step of it may be endless, and no limit stops that.

    Args:
        name: of the model, for messages.
        template: Jinja source, or several by name, as read from the model folder.

    Raises:
        HeadAtlasError: it does, or a template is not a text.
    """
    for text in template.values() if isinstance(template, Mapping) else [template]:
        if not isinstance(text, str):
            raise HeadAtlasError(f"model {name!r}: its chat template must be a text, got {type(text).__name__}")
        try:
            tokens = [(kind, value) for _, kind, value in jinja2.Environment().lex(text) if kind != "whitespace"]
        except jinja2.TemplateError:
            continue  # rendering says what is wrong
        largest = product = 1.0
        for (before, last), (kind, value), (_, following) in zip(tokens, tokens[1:], tokens[2:], strict=False):
            if kind == "operator" and value == "**" and (before in ("integer", "float", "name") or last in (")", "]")):
                raise HeadAtlasError(f"model {name!r}: its chat template must not compute a power, got '{last}**'")
            if kind == "operator" and value == "*":
                product *= math.prod(max(1.0, _number(side)) for side in (last, following))
            elif kind == "integer":
                largest = max(largest, _number(value))
            elif kind == "string" and _WIDTH.search(value):
                largest = math.inf
        if max(largest, product) > LARGEST:
            raise HeadAtlasError(
                f"model {name!r}: its chat template must not write numbers or widths above {LARGEST:,}, got "
                f"{max(largest, product):.3g}"
            )


@contextmanager
def limits(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Stop Python code that runs longer or needs more memory, such as a template with an endless loop.

    Raises:
        TimeoutError, MemoryError: inside the block, at the next line of Python.
    """
    deadline, before = time.monotonic() + seconds, sys.gettrace()
    most = peak_memory() + memory

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it takes longer than {seconds:g} s")
        if peak_memory() > most:
            raise MemoryError(f"it needs more than {memory >> 20} MB")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _number(text: str) -> float:
    digits = text.replace("_", "")
    return float(digits) if digits.isdecimal() and len(digits) < 300 else math.inf if digits.isdecimal() else 1.0
