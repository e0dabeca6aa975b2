"""Names of the keyword by which models take cached keys and values: `past_key_values`, from transformers 5.24 on `cache`.

A model that comes with its own code can have the old name under a new transformers, so the module is asked before the library.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from transformers import GenerationMixin

CACHE_NAMES = ("cache", "past_key_values")

_GENERATES: Callable[..., Any] = vars(GenerationMixin)["prepare_inputs_for_generation"]


def cache_name(forward: Callable[..., Any] = _GENERATES) -> str:
    """The keyword by which `forward` takes a cache; that of `generate` if it has none."""
    signatures = (inspect.signature(forward).parameters, inspect.signature(_GENERATES).parameters)
    return next(name for parameters in signatures for name in CACHE_NAMES if name in parameters)


def cache_in(kwargs: Mapping[str, Any]) -> Any:
    """The cache among a call's keywords, or None."""
    return next((kwargs[name] for name in CACHE_NAMES if kwargs.get(name) is not None), None)
