"""Run the vision tower once for each image, however many steps, conditions and arms show it.

A family's `get_image_features` depends only on the pixels and the weights of the vision side, as long as nothing reads or
edits the vision tower. Its results are cached by the content of the pixels: for each image if images are rows of one tensor,
for each call if they are packed. Families without that method, which call the vision tower in the middle of a forward, are
run as they are.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor, nn

from headatlas.vlm.identity import adapters, config_digest, weights_digest
from headatlas.vlm.pixels import cache_bytes
from headatlas.vlm.set_by_hand import hooks, set_by_hand

Part = dict[str, Any]


def seeing(vlm: Any, again: bool = True) -> AbstractContextManager[Any]:
    """Within the block an image passes through the vision tower once; with `again=False` nothing is cached."""
    return VisionMemo(vlm).installed() if again else nullcontext()


class VisionMemo:
    """Image features of one VLM by the content of the pixels.

    Args:
        vlm: needs `model` and `heads`.
        max_bytes: least recently used features are dropped above it; by default 40 MiB or a fiftieth of the weights, which is
            enough for the images of a batch.

    Attributes:
        seen, run: how many images (or packed calls) were asked for, and how many were computed.
    """

    def __init__(self, vlm: Any, max_bytes: int | None = None) -> None:
        size = cache_bytes(vlm.model, 50, 40 << 20) if max_bytes is None else max_bytes
        self.seen = self.run = 0
        self._vlm = vlm
        self._kept: LRUCache[str, Part] = LRUCache(size, getsizeof=_size)
        self._settings = ""

    @property
    def bytes(self) -> int:
        """Size of the cached features in bytes."""
        return int(self._kept.currsize)

    @contextmanager
    def installed(self) -> Iterator[VisionMemo]:
        """Within the context, the model takes image features from the cache."""
        owner = _owner(self._vlm.model)
        if owner is None or "get_image_features" in owner.__dict__:
            yield self
            return
        # Weights and settings of the vision side, adapters or hooks in it, may have changed since the last time.
        model, language = self._vlm.model, self._vlm.heads.language
        self._settings = (
            f"{weights_digest(model, without=language)} {adapters(model)} {set_by_hand(model)} {hooks(model)} "
            f"{config_digest(model)} "
        )
        real = owner.get_image_features

        @wraps(real)  # `generate` reads its signature
        def features(*args: Any, **kwargs: Any) -> Any:
            return self._features(real, args, kwargs)

        owner.get_image_features = features
        try:
            yield self
        finally:
            del owner.__dict__["get_image_features"]

    def _features(self, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # A hook in the vision tower needs it to run, and cached features have no gradients.
        vision = (site.module for site in self._vlm.heads.sites if site.tower not in ("L", "X", "E"))
        if any(module._forward_pre_hooks for module in vision):
            return real(*args, **kwargs)
        graph = torch.is_grad_enabled()
        if graph and self._learns():
            return real(*args, **kwargs)
        kwargs = {**dict(zip(inspect.signature(real).parameters, args, strict=False)), **kwargs}
        tensors = {name: value for name, value in kwargs.items() if isinstance(value, Tensor)}
        pixels = tensors.pop("pixel_values", None)
        if pixels is None:
            return real(**kwargs)
        rest = {name: value for name, value in kwargs.items() if name not in tensors and name != "pixel_values"}
        options = sorted((name, value) for name, value in rest.items() if value is not None and name != "return_dict")
        settings = f"{self._settings}{options!r}"
        if pixels.dim() == 4 and not tensors:
            return self._rows(real, pixels, kwargs, settings)
        if graph:  # what was kept in inference mode cannot be part of a graph, and here it is not copied
            return real(**kwargs)
        key = _digest(settings, pixels, *(tensors[name] for name in sorted(tensors)))
        self.seen += 1
        if key in self._kept:
            return self._kept[key]["whole"]
        self.run += 1
        made = real(**kwargs)
        self._keep(key, {"whole": made})
        return made

    def _rows(self, real: Callable[..., Any], pixels: Tensor, kwargs: dict[str, Any], settings: str) -> Any:
        keys = [_digest(settings, row) for row in pixels]
        self.seen += len(keys)
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._kept}
        known = {key: self._kept[key] for key in keys if key not in new}
        if new:
            self.run += len(new)
            made = real(**{**kwargs, "pixel_values": pixels[list(new.values())]})
            parts = _split(made, len(new))
            if parts is None:
                return made if len(new) == len(keys) else real(**kwargs)
            for key, part in zip(new, parts, strict=True):
                known[key] = part
                self._keep(key, part)
        return _join([known[key] for key in keys])

    def _learns(self) -> bool:
        """Whether a parameter outside the language model takes gradients."""
        language = self._vlm.heads.language
        inside = set() if language is None else set(map(id, language.parameters()))
        return any(p.requires_grad and id(p) not in inside for p in self._vlm.model.parameters())

    def _keep(self, key: str, part: Part) -> None:
        if _size(part) <= self._kept.maxsize:
            self._kept[key] = part


def _owner(model: nn.Module) -> Any:
    """The module whose forward asks itself for image features; None if there is none."""
    inner = getattr(model, "base_model", model)
    return inner if hasattr(inner, "get_image_features") else None


def _digest(settings: str, *tensors: Tensor) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def _split(made: Any, n: int) -> list[Part] | None:
    """A model output for n images as one part for each; None if it cannot be cut so."""
    parts: list[Part] = [{"type": type(made)} for _ in range(n)]
    if not hasattr(made, "items"):
        return None
    for name, value in made.items():
        if name != "pooler_output":
            continue  # hidden states of the tower, which nothing reads later
        if not isinstance(value, Tensor | list | tuple) or len(value) != n:
            return None
        for part, one in zip(parts, value, strict=True):
            part[name] = one.clone() if isinstance(one, Tensor) else one
            part["listed"] = not isinstance(value, Tensor)
    return parts if "pooler_output" in parts[0] else None


def _join(rows: list[Part]) -> Any:
    values = [row["pooler_output"] for row in rows]
    return rows[0]["type"](pooler_output=values if rows[0]["listed"] else torch.stack(values))


def _size(part: Any) -> int:
    if isinstance(part, Tensor):
        return part.nbytes
    if isinstance(part, dict):
        return sum(map(_size, part.values()))
    return sum(map(_size, part)) if isinstance(part, list | tuple) else 0
