"""Refuse logits that are NaN or infinite, and find the layer that produced them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.editable import EditableModel


def require_finite(
    vlm: EditableModel, logits: Tensor, batch: Batch | None = None, rows: Sequence[int] | None = None
) -> None:
    """Raise unless every row of `logits` [..., V] has a finite largest value and no NaN.

    Single logits of minus infinity pass: some families ban tokens in this way.

    Args:
        vlm: the model, for the message.
        logits: any number of rows over the vocabulary.
        batch, rows: what the logits were computed from, with the index of each row in the caller's list. If given, the batch
            is run once more to find the first layer whose output is not finite.

    Raises:
        HeadAtlasError: naming model, dtype, the layer where it is known, and what to try.
    """
    if logits.numel() and not bool(torch.isfinite(logits.amax(-1)).all()):
        raise HeadAtlasError(message(vlm, None if batch is None else first_layer(vlm, batch, rows)))


def message(vlm: EditableModel, layer: str | None = None) -> str:
    """The message about non-finite values: model, dtype, layer, and what to try."""
    where = f", first in layer {layer}" if layer else ""
    edits = " under the active edits" if vlm.edited else ""
    dtype = str(vlm.dtype).removeprefix("torch.")
    other = "float32" if dtype == "bfloat16" else "bfloat16 (or float32)"
    advice = f"load the model with dtype={other}" if dtype != "float32" else "check the weights"
    if vlm.edited:
        advice += " or use a smaller edit"
    return f"{vlm.name}: logits must be finite, got NaN or infinity in {dtype}{where}{edits}; {advice}"


def first_layer(vlm: EditableModel, batch: Batch, rows: Sequence[int] | None = None) -> str | None:
    """The first layer, in the order of execution, whose output is not finite at real tokens, such as `"L2"`; None if the
    layers' outputs are finite."""
    found: list[str] = []
    real = batch.mask

    def check(name: str, text: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            if found or not isinstance(hidden, Tensor):
                return
            if text and hidden.shape[:2] == real.shape:
                hidden = hidden[real.to(hidden.device)]  # padding may hold anything
            if not bool(torch.isfinite(hidden).all()):
                found.append(name)

        return hook

    with ExitStack() as stack, torch.inference_mode():
        for site in vlm.heads.sites:
            block = vlm.model.get_submodule(site.owner.rpartition(".")[0])
            name = f"{site.tower}{site.layer}"
            stack.callback(block.register_forward_hook(check(name, site.tower in ("L", "X"))).remove)
        stack.enter_context(vlm.running(batch, range(len(batch.starts)) if rows is None else rows))
        vlm.model(**batch.to(vlm.device, vlm.dtype), use_cache=False)
    return found[0] if found else None
