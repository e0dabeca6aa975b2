"""Run the image processor once for each image instead of once for each question, step and condition.

The cache stores the processor's output for the images of one row, by their content, and joins rows along the first axis.
Whether that equals one call with all rows depends on the family: it is checked against the processor on the first batch with
two different rows, and if it differs, rows are never joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from cachetools import LRUCache
from PIL import Image

from headatlas.vlm.set_by_hand import methods_of

Row = dict[str, Any]


def image_key(image: Image.Image) -> str:
    """Hex digest of an image's mode, size and pixels as they are now."""
    return hashlib.blake2b(repr((image.mode, image.size)).encode() + image.tobytes(), digest_size=16).hexdigest()


def cache_bytes(model: Any, part: int, least: int = 16 << 20) -> int:
    """The size limit in bytes of a cache: `least`, or one `part`-th of the model's weights if that is more."""
    return max(least, sum(parameter.nbytes for parameter in model.parameters()) // part)


class PixelCache:
    """Outputs of an image processor for rows of images; least recently used rows are dropped above `max_bytes`."""

    def __init__(self, max_bytes: int = 16 << 20) -> None:
        self._rows: LRUCache[tuple[str, ...], Row] = LRUCache(max_bytes, getsizeof=_size)
        self._joins: dict[str, bool] = {}
        """By settings of the processor: whether joined rows equal a call with all rows."""
        self._type: type = dict

    def clear(self) -> None:
        """Forget every row."""
        self._rows.clear()

    @contextmanager
    def installed(self, processor: Any) -> Iterator[None]:
        """Within the context, `processor` reads images through the cache."""
        real = processor.image_processor
        processor.image_processor = _Proxy(real, self)
        try:
            yield
        finally:
            processor.image_processor = real

    def process(self, real: Any, images: Any, kwargs: dict[str, Any]) -> Any:
        """The result of `real(images, **kwargs)`, from the cache if that gives the same."""
        settings = _settings(real, kwargs)
        nested = isinstance(images, list) and images and all(isinstance(row, list) and row for row in images)
        if not nested or self._joins.get(settings) is False:
            return real(images, **kwargs)
        keys = [(settings, *map(image_key, row)) for row in images]
        rows = [self._row(real, row, kwargs, key) for row, key in zip(images, keys, strict=True)]
        joined = _join(rows)
        if joined is None:
            return real(images, **kwargs)
        if settings not in self._joins and len(rows) > 1:
            whole = real(images, **kwargs)
            if len(set(keys)) > 1:
                self._joins[settings] = _same(dict(whole), joined)
            return whole
        return self._type(joined)

    def _row(self, real: Any, row: list[Image.Image], kwargs: dict[str, Any], key: tuple[str, ...]) -> Row:
        if key in self._rows:
            return self._rows[key]
        made = real([row], **kwargs)
        self._type = type(made)
        if _size(dict(made)) <= self._rows.maxsize:
            self._rows[key] = dict(made)
        return dict(made)


class _Proxy:
    """Stands for an image processor and calls it through the cache."""

    def __init__(self, real: Any, cache: PixelCache) -> None:
        self._real, self._cache = real, cache

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            return self._real(images, *args, **kwargs)
        return self._cache.process(self._real, images, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _settings(real: Any, kwargs: dict[str, Any]) -> str:
    """The processor's settings and methods now, and the settings of the call."""
    own = real.to_dict() if hasattr(real, "to_dict") else {}
    kind = f"{type(real).__module__}.{type(real).__qualname__} {id(type(real))} {methods_of(real)}"
    return repr((kind, sorted(own.items(), key=lambda i: str(i[0])), sorted(kwargs.items())))


def _join(rows: list[Row]) -> Row | None:
    """The rows joined along the first axis; None if a value is neither a tensor of like shape nor a list."""
    out: Row = {}
    for name in rows[0]:
        values = [row.get(name) for row in rows]
        if all(isinstance(value, torch.Tensor) for value in values):
            if len({(value.shape[1:], value.dtype) for value in values}) != 1:  # type: ignore[union-attr]
                return None
            out[name] = torch.cat(values)  # type: ignore[arg-type]
        elif all(isinstance(value, list) for value in values):
            out[name] = [item for value in values for item in value]  # type: ignore[union-attr]
        else:
            return None
    return out


def _same(a: Row, b: Row) -> bool:
    if a.keys() != b.keys():
        return False
    for name, value in a.items():
        other = b[name]
        if isinstance(value, torch.Tensor):
            if not isinstance(other, torch.Tensor) or value.shape != other.shape or not torch.equal(value, other):
                return False
        elif value != other:
            return False
    return True


def _size(row: Row) -> int:
    return sum(value.nbytes for value in row.values() if isinstance(value, torch.Tensor))
