"""Printing results: JSON for programs, names from data for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from headatlas.plain_json import plain

if TYPE_CHECKING:
    from rich.text import Text


def print_json(value: Any) -> None:
    """Print one JSON value on a line; NaN and infinity, which JSON does not have, become null."""
    typer.echo(json.dumps(plain(value), allow_nan=False, default=str))


def shown(name: object) -> Text:
    """A name from data for a terminal: rich's markup and control characters in it do nothing."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\ufffd" for c in str(name)))
