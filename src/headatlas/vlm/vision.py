"""Image features once an image: the vision tower is not run again for a picture it has seen.

A question's picture comes back with every step that is generated, with every condition and with every arm that shows it. A
family's `get_image_features` is a function of the pixels alone as long as nothing is read or edited in the vision tower; so
its results are kept, image by image where images are rows of one tensor, call by call where they are packed. Families that
do not have that method (their vision tower is called in the middle of a forward) are left as they are. Knows tensors and
that method; knows no questions and no language model.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from headatlas.vlm.pixels import room


def seeing(vlm: Any, again: bool = True) -> AbstractContextManager[Any]:
    """Within, a picture goes through the vision tower once, if pictures are to come back (`again`)."""
    return VisionMemo(vlm).installed() if again else nullcontext()


class VisionMemo:
    """Image features of one VLM by the content of the pixels, least recently used dropped above `max_bytes`: by default 40 MiB,
    or a fiftieth of the weights, which holds the pictures of a batch.

    `vlm` needs `model` and `heads`. `seen` and `run` count images (or packed calls) asked for and computed.
    """

    def __init__(self, vlm: Any, max_bytes: int | None = None) -> None:
        self.max_bytes = room(vlm.model, 50, 40 << 20) if max_bytes is None else max_bytes
        self.seen = self.run = 0
        self._owner = _owner(vlm.model)
        self._vision = [site.module for site in vlm.heads.sites if site.tower not in ("L", "X", "E")]
        self._kept: OrderedDict[str, tuple[dict[str, Any], int]] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def installed(self) -> Iterator[VisionMemo]:
        """Within, the model takes image features from the memo."""
        owner = self._owner
        if owner is None or "get_image_features" in owner.__dict__:
            yield self
            return
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
        # A hook in the vision tower wants to see it run, or changes what it says; kept features have no graph.
        if torch.is_grad_enabled() or any(module._forward_pre_hooks for module in self._vision):
            return real(*args, **kwargs)
        kwargs = {**dict(zip(inspect.signature(real).parameters, args, strict=False)), **kwargs}
        tensors = {name: value for name, value in kwargs.items() if isinstance(value, Tensor)}
        pixels = tensors.pop("pixel_values", None)
        if pixels is None:
            return real(**kwargs)
        rest = {name: value for name, value in kwargs.items() if name not in tensors and name != "pixel_values"}
        told = sorted((name, value) for name, value in rest.items() if value is not None and name != "return_dict")
        settings = repr(told)
        if pixels.dim() == 4 and not tensors:
            return self._rows(real, pixels, kwargs, settings)
        key = _digest(settings, pixels, *(tensors[name] for name in sorted(tensors)))
        self.seen += 1
        if key not in self._kept:
            self.run += 1
            made = real(**kwargs)
            self._keep(key, {"whole": made})
            return made
        return self._get(key)["whole"]

    def _rows(self, real: Callable[..., Any], pixels: Tensor, kwargs: dict[str, Any], settings: str) -> Any:
        keys = [_digest(settings, row) for row in pixels]
        self.seen += len(keys)
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._kept}
        fresh: dict[str, dict[str, Any]] = {}
        if new:
            self.run += len(new)
            wanted = pixels[list(new.values())]
            made = real(**{**kwargs, "pixel_values": wanted})
            parts = _split(made, len(new))
            if parts is None:
                return made if len(new) == len(keys) else real(**kwargs)
            fresh = dict(zip(new, parts, strict=True))
        rows = [fresh[key] if key in fresh else self._get(key) for key in keys]
        for key, part in fresh.items():
            self._keep(key, part)
        return _join(rows)

    def _get(self, key: str) -> dict[str, Any]:
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def _keep(self, key: str, part: dict[str, Any]) -> None:
        size = _size(part)
        if size > self.max_bytes:
            return
        self._kept[key] = part, size
        self._bytes += size
        while self._bytes > self.max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1][1]


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


def _split(made: Any, n: int) -> list[dict[str, Any]] | None:
    """A model output of n images as one part an image; None if a field of it is not one thing an image."""
    parts: list[dict[str, Any]] = [{"type": type(made)} for _ in range(n)]
    if not hasattr(made, "items"):
        return None
    for name, value in made.items():
        if name != "pooler_output":
            continue  # hidden states of the tower: nothing behind it reads them
        if not isinstance(value, Tensor | list | tuple) or len(value) != n:
            return None
        for part, one in zip(parts, value, strict=True):
            part[name] = one.clone() if isinstance(one, Tensor) else one
            part["listed"] = not isinstance(value, Tensor)
    return parts if "pooler_output" in parts[0] else None


def _join(rows: list[dict[str, Any]]) -> Any:
    values = [row["pooler_output"] for row in rows]
    return rows[0]["type"](pooler_output=values if rows[0]["listed"] else torch.stack(values))


def _size(part: Any) -> int:
    if isinstance(part, Tensor):
        return part.nbytes
    if isinstance(part, dict):
        return sum(map(_size, part.values()))
    return sum(map(_size, part)) if isinstance(part, list | tuple) else 0
