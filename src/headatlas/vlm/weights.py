"""Check the weights of a model folder for damage that transformers passes over: wrong number types, layers left out, zeros."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from torch import nn

from headatlas.errors import HeadAtlasError

log = logging.getLogger("headatlas")

MAX_HEADER = 100_000_000
"""Largest header of a safetensors file in bytes, as in safetensors itself."""
_LAYER = re.compile(r"(.*\b(?:layers|layer|blocks|block|h)\.)(\d+)\.(.+)")


def check_dtypes(name: str, file: Path) -> None:
    """Raise if a weight or bias is stored as whole numbers, booleans or complex numbers, which would be converted silently.

    Args:
        name: what the user called the model, for messages.
        file: a safetensors file. One whose header cannot be read is left to the loader, which refuses it.

    Raises:
        HeadAtlasError: naming the first such weight.
    """
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(size)) if size <= MAX_HEADER else None
    except (OSError, ValueError, RecursionError):
        return
    for key, entry in header.items() if isinstance(header, dict) else ():
        dtype = str(entry.get("dtype")) if isinstance(entry, dict) else "F32"
        if key.endswith((".weight", ".bias")) and not dtype.startswith(("F", "BF")):
            raise HeadAtlasError(
                f"model {name!r}: weights must be floating-point numbers, got {dtype} for {key[:120]!r} in {file.name}: the "
                "checkpoint is damaged, or quantized without a quantization_config"
            )


def check_unused(name: str, unused: Iterable[str], present: Iterable[str]) -> None:
    """Raise if the checkpoint has whole layers that the model leaves out; write other unused weights to the log.

    Args:
        name: what the user called the model, for messages.
        unused: names of weights in the checkpoint that the model did not take.
        present: names of the model's own weights.

    Raises:
        HeadAtlasError: a layer that has the same weights as one of the model's.
    """
    names = sorted(map(str, unused))
    left_out, own = _layers(names), _layers(present)
    for (stem, number), parts in sorted(left_out.items()):
        like_it = [of_model for (_, of_model), own_parts in own.items() if own_parts == parts]
        if like_it and number > max(like_it):
            raise HeadAtlasError(
                f"model {name!r}: its weights have {stem}{number}, but config.json gives {max(like_it) + 1} such layers: the "
                "checkpoint and its config.json must belong together"
            )
    if names:
        log.warning("model %r: %d of its weights are not used, such as %r", name, len(names), names[0])


def warn_of_zeros(name: str, model: nn.Module) -> None:
    """Write to the log that matrices of a model are zero everywhere, as after a broken download."""
    empty = [
        key
        for key, weight in model.named_parameters()
        if weight.ndim > 1 and not weight.is_meta and weight.numel() and not weight[0].any() and not weight.any()
    ]
    if empty:
        log.warning(
            "model %r: %d of its weights are zero everywhere, such as %r: check the file", name, len(empty), empty[0]
        )


def _layers(names: Iterable[str]) -> dict[tuple[str, int], set[str]]:
    """The weights of each layer by (path of the list, number)."""
    layers: dict[tuple[str, int], set[str]] = defaultdict(set)
    for key in names:
        if match := _LAYER.fullmatch(key):
            layers[match[1], int(match[2])].add(match[3])
    return layers
