"""The registered things on which a stage's results depend: their names, and digests of those from outside HeadAtlas."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from headatlas.registry import Registry


def codes(registry: Registry[Any], names: Iterable[str] | None = None) -> dict[str, str]:
    """Things of a registry by name (default: all), each with the digest of the file that defines it.

    The digest of HeadAtlas's own things is empty: its stages have versions.
    """
    return {name: _code(registry[name]) for name in (registry if names is None else names)}


def _code(thing: Any) -> str:
    parts = (
        [getattr(thing, field.name) for field in fields(thing)]
        if is_dataclass(thing) and not inspect.isclass(thing)
        else []
    )
    own = [thing if inspect.isclass(thing) or inspect.isroutine(thing) else type(thing)]
    modules = set()
    for part in (*own, *(part for part in parts if callable(part))):
        module = inspect.getmodule(inspect.unwrap(part))
        name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
        if name.partition(".")[0] != "headatlas":
            modules.add(
                hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file and Path(file).is_file() else name
            )
    return " ".join(sorted(modules))
