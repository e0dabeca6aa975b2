"""A short `repr` for dataclasses that hold arrays, tables or long texts: one line that says how large each value is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

LONGEST = 60
"""Most characters of one value."""
MOST = 360
"""Most characters of a whole object."""


def brief(self: Any) -> str:
    """The `repr` of a dataclass in one line, to be set as `__repr__ = brief`; fields that begin with `_` are left out."""
    shown = [f"{field.name}={_value(getattr(self, field.name))}" for field in fields(self) if field.name[0] != "_"]
    return f"{type(self).__name__}({_cut(', '.join(shown), MOST)})"


def _value(value: Any) -> str:
    if hasattr(value, "columns") and hasattr(value, "shape"):  # a pandas table
        return f"<{value.shape[0]} rows x {value.shape[1]} columns>"
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # an array or a tensor
        return f"<{str(value.dtype).removeprefix('torch.')} {list(value.shape)}>"
    if hasattr(value, "named_modules"):  # a torch module
        return f"<{type(value).__name__}>"
    if isinstance(value, str):
        return repr(_cut(value, LONGEST))
    if isinstance(value, Mapping):
        return "{}" if not value else f"<{len(value)} by key: {_cut(', '.join(map(str, value)), LONGEST)}>"
    if isinstance(value, list | tuple) and (len(value) > 4 or any(isinstance(each, Mapping) for each in value)):
        return f"<{len(value)} values>"
    return _cut(" ".join(repr(value).split()), LONGEST)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
