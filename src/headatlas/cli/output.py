"""Printing results: JSON for programs, names from data for people."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text


def print_json(value: Any) -> None:
    """Print one JSON value on a line; NaN and infinity, which JSON does not have, become null."""
    typer.echo(json.dumps(_plain(value), allow_nan=False, default=str))


def shown(name: object) -> Text:
    """A name from data for a terminal: rich's markup and control characters in it do nothing."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\ufffd" for c in str(name)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a number of numpy
    return None if isinstance(value, float) and not math.isfinite(value) else value
