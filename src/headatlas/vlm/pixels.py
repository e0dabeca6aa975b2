"""Running the image processor once per image.

Knows image processors as black boxes and nothing of models or text. A processor that is given the same picture in
every step of a question, and again under every condition of a study, would spend more time resizing than a small model
spends thinking. The memo keeps what the image processor makes of the images of one row, and joins rows along the first
axis. Whether joining is what this family's processor does is *checked* against the processor itself on the first batch
with two different rows, and the memo is never used if it is not.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

Row = dict[str, Any]


class ImageKeys:
    """Content digests of images, each taken once per image object."""

    def __init__(self) -> None:
        self._of: dict[int, str] = {}

    def __call__(self, image: Image.Image) -> str:
        """Hex digest of mode, size and pixels. An image that is drawn on after its first use keeps its old digest."""
        key = id(image)
        if key not in self._of:
            digest = hashlib.blake2b(repr((image.mode, image.size)).encode() + image.tobytes(), digest_size=16)
            self._of[key] = digest.hexdigest()
            weakref.finalize(image, self._of.pop, key, None)
        return self._of[key]


def room(model: Any, part: int, least: int = 16 << 20) -> int:
    """Bytes that a memo may take beside a model: `least`, or one `part`-th of the weights where that is more."""
    return max(least, sum(parameter.nbytes for parameter in model.parameters()) // part)


class PixelMemo:
    """What an image processor made of each row of images, least recently used rows dropped above `max_bytes`."""

    def __init__(self, keys: ImageKeys, max_bytes: int = 16 << 20) -> None:
        self.keys = keys
        self.max_bytes = max_bytes
        self._rows: OrderedDict[tuple, Row] = OrderedDict()
        self._bytes = 0
        self._joins: bool | None = None
        """Whether joining rows equals a call with all rows; None: not known yet."""
        self._type: type = dict
        self._last: tuple[Any, Any, dict[str, Any], Any] | None = None
        """Image processor, images, settings and result of the last call."""

    @contextmanager
    def installed(self, processor: Any) -> Iterator[None]:
        """Within, `processor` reads images through the memo."""
        real = processor.image_processor
        processor.image_processor = _Proxy(real, self)
        try:
            yield
        finally:
            processor.image_processor = real

    def way_back(self, images: Any, inputs: dict[str, Any]) -> WayBack | None:
        """How those of a batch's `inputs` that are what the image processor just made of `images` can be made again.

        None if the family's processor arranges the images in another way, or does more to every tensor.
        """
        last, self._last = self._last, None
        if last is None or images is None or not _same_images(last[1], images):
            return None
        real, _, kwargs, made = last
        names = tuple(n for n, v in dict(made).items() if isinstance(v, torch.Tensor) and _is(inputs.get(n), v))
        return WayBack(self, real, kwargs, names) if names else None

    def process(self, real: Any, images: Any, kwargs: dict[str, Any]) -> Any:
        """What `real(images, **kwargs)` gives; from the memo where that is the same."""
        made = self._process(real, images, kwargs)
        self._last = real, images, kwargs, made
        return made

    def _process(self, real: Any, images: Any, kwargs: dict[str, Any]) -> Any:
        nested = isinstance(images, list) and images and all(isinstance(row, list) and row for row in images)
        if not nested or self._joins is False:
            return real(images, **kwargs)
        settings = repr(sorted(kwargs.items(), key=lambda item: item[0]))
        rows = [self._row(real, row, kwargs, settings) for row in images]
        joined = _join(rows)
        if joined is None:
            return real(images, **kwargs)
        if self._joins is None and len(rows) > 1:
            whole = real(images, **kwargs)
            if len({tuple(self.keys(image) for image in row) for row in images}) > 1:
                self._joins = _same(dict(whole), joined)
            return whole
        return self._type(joined)

    def _row(self, real: Any, row: list[Image.Image], kwargs: dict[str, Any], settings: str) -> Row:
        key = (settings, *(self.keys(image) for image in row))
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        made = real([row], **kwargs)
        self._type = type(made)
        self._rows[key] = dict(made)
        self._bytes += _size(self._rows[key])
        while self._bytes > self.max_bytes and len(self._rows) > 1:
            self._bytes -= _size(self._rows.popitem(last=False)[1])
        return dict(made)


@dataclass(frozen=True, eq=False)
class WayBack:
    """Makes the tensors `names` of a batch again from its images."""

    memo: PixelMemo
    real: Any
    kwargs: dict[str, Any]
    names: tuple[str, ...]

    def __call__(self, images: Any) -> dict[str, torch.Tensor]:
        """The tensors by name."""
        made = self.memo.process(self.real, images, self.kwargs)
        self.memo._last = None
        return {name: made[name] for name in self.names}


class _Proxy:
    def __init__(self, real: Any, memo: PixelMemo) -> None:
        self._real, self._memo = real, memo

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            return self._real(images, *args, **kwargs)
        return self._memo.process(self._real, images, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _same_images(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same_images, a, b))
    return a is b


def _is(a: Any, b: torch.Tensor) -> bool:
    return isinstance(a, torch.Tensor) and a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.dtype == b.dtype


def _join(rows: list[Row]) -> Row | None:
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
    for name in a:
        if isinstance(a[name], torch.Tensor):
            if not isinstance(b[name], torch.Tensor) or a[name].shape != b[name].shape:
                return False
            if not torch.equal(a[name], b[name]):
                return False
        elif a[name] != b[name]:
            return False
    return True


def _size(row: Row) -> int:
    return sum(value.nbytes for value in row.values() if isinstance(value, torch.Tensor))
