"""Answers in free text: parse them, compare them with the gold answer, and score a table of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headatlas.answers.parsing import matches, parse
from headatlas.answers.thoughts import without_thoughts

if TYPE_CHECKING:  # imported on first use: they need pandas and SciPy, and the command line needs only the parsing
    from headatlas.answers.metrics import accuracy, accuracy_by, chance, final, spatial_score, ss_chain, ss_ground

__all__ = [
    "accuracy",
    "accuracy_by",
    "chance",
    "final",
    "matches",
    "parse",
    "spatial_score",
    "ss_chain",
    "ss_ground",
    "without_thoughts",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("headatlas.answers.metrics"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
