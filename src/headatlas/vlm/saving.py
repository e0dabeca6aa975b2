"""Whether a model with changed weights can be written as a checkpoint that another program loads as the same model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.vlm.identity import adapters
from headatlas.vlm.set_by_hand import hooks, other_modules, set_by_hand


def require_plain(model: Any) -> None:
    """Raise `HeadAtlasError` if the model is more than its class, configuration and weights, of which a checkpoint consists."""
    if adapters(model) != "none":
        raise HeadAtlasError("the model must have no adapters yet: merge them (model.merge_and_unload()) first")
    extra = other_modules(model) or set_by_hand(model) or hooks(model)
    if extra:
        raise HeadAtlasError(
            f"the model must be as its configuration says, got {extra}: a checkpoint or an adapter would not hold this; use the "
            "recipe with load_vlm"
        )


def require_own(model: Any, changed: Iterable[Tensor]) -> None:
    """Raise `HeadAtlasError` if a changed weight is that of another layer, too."""
    by_id: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        by_id.setdefault(id(parameter), []).append(name)
    for tensor in changed:
        names = by_id.get(id(tensor), [])
        if len(names) > 1:
            raise HeadAtlasError(
                f"{names[0]} and {names[1]} are one weight, and a change of one would change the other: give each "
                "layer a weight of its own, or use a recipe with load_vlm"
            )
