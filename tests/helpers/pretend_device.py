"""Count what a device would be asked to do, without a device: operations, and what makes the host wait for it.

`on_device(model)` puts a model's weights on a pretended device: its name is "meta", its numbers are real and on the CPU. Within
`counting()` every operation on its tensors is counted by name, about one for each kernel that a GPU would run. The host waits for
a real GPU where a number is read from it (`.item()`, `bool(...)`, `.tolist()`, `.cpu()`), where the shape of a result depends on
numbers (`nonzero`, an index that is a bool mask), and where an array or a list of the host is copied to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
WAITS = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default", "aten.equal.default"}
WAITS |= {"aten._unique2.default", "aten.unique_consecutive.default", "aten.repeat_interleave.Tensor"}


@dataclass
class Counts:
    """What was counted.

    Attributes:
        ops: operations that compute or copy on the device, by name; views are not among them.
        waits: what made the host wait, by name.
    """

    ops: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    @property
    def n_ops(self) -> int:
        """Operations on the device."""
        return sum(self.ops.values())

    @property
    def n_waits(self) -> int:
        """How often the host waited."""
        return sum(self.waits.values())


_counts: list[Counts] = []


class Pretended(Tensor):
    """A tensor on the pretended device; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> Pretended:
        """Wrap a tensor of the CPU."""
        made = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=DEVICE,
        )
        made.held = real
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run it on the CPU."""
        return _run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Calls that do not come to the dispatcher, or not whole, or without their numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention and isinstance(args[0], Pretended):
            _note("ops", "scaled_dot_product_attention")
            return tree_map(_wrapped, func(*tree_map(_real, args), **tree_map(_real, kwargs)))
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            _note("waits", "tolist")
            return args[0].held.tolist()
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            numbers = [value for value in tree_flatten(args)[0] if isinstance(value, Pretended)]
            for _ in numbers:
                _note("waits", "aten._local_scalar_dense.default")
            return func(*tree_map(_real, args), **kwargs | {"device": "cpu"}).to(DEVICE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], Pretended):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(part) if isinstance(part, list | range) else part for part in index)
            args = (args[0], index, *args[2:])
        return func(*args, **kwargs)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with self:  # composite operations may come here whole
            parts = func.decompose(*args, **(kwargs or {}))
        return _run(func, args, kwargs or {}) if parts is NotImplemented else parts


def _real(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


def _wrapped(value: Any) -> Any:
    return Pretended(value) if isinstance(value, Tensor) and not isinstance(value, Pretended) else value


def _note(what: str, name: str) -> None:
    for counts in _counts:
        getattr(counts, what)[name] += 1


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat = tree_flatten((args, kwargs))[0]
    mine = [value for value in flat if isinstance(value, Pretended)]
    to = kwargs.get("device")
    here = to is not None and torch.device(to) == DEVICE
    real_kwargs = {
        name: torch.device("cpu") if name == "device" and value is not None else value for name, value in kwargs.items()
    }
    if not mine and not here:
        return func(*args, **kwargs)
    out = func(*tree_map(_real, args), **tree_map(_real, real_kwargs))
    name = str(func)
    if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
        source = args[0] if func is torch.ops.aten._to_copy.default else args[1]
        if func is torch.ops.aten._to_copy.default and mine and to is not None and not here:
            _note("waits", "copy to the host")
            return out
        if func is torch.ops.aten.copy_.default and not isinstance(args[0], Pretended):
            _note("waits", "copy to the host")
            return args[0]
        if not isinstance(source, Pretended) and source.dim() and source.numel():
            _note("waits", "copy to the device")
    elif name.startswith(("aten.index.", "aten.index_put", "aten._index_put")):
        indices = [index for index in args[1] if isinstance(index, Tensor)]
        value = args[2] if len(args) > 2 else None
        by_mask = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        if by_mask and not (isinstance(value, Tensor) and not value.dim() and not isinstance(value, Pretended)):
            _note("waits", "index by a bool mask")
        elif any(not isinstance(index, Pretended) for index in indices):
            _note("waits", "index by a list")
    elif name in WAITS:
        _note("waits", name)
    sizes = [part.numel() for part in tree_flatten(out)[0] if isinstance(part, Tensor)]
    if not func.is_view and func is not torch.ops.aten._unsafe_view.default and (any(sizes) or not sizes):
        _note("ops", name)
    written = [value for value in mine if any(value.held is part for part in tree_flatten(out)[0])]
    if written:  # in place
        known = {id(value.held): value for value in written}
        return tree_map(lambda part: known.get(id(part), _wrapped(part)), out)
    return tree_map(_wrapped, out)


@contextmanager
def _no_inference_mode() -> Iterator[None]:
    """Within the block `torch.inference_mode` is left out: its tensors have no version, which wrapped ones need."""
    kind: Any = torch.inference_mode
    enter, leave = kind.__enter__, kind.__exit__
    kind.__enter__, kind.__exit__ = lambda self: None, lambda self, *error: None
    try:
        yield
    finally:
        kind.__enter__, kind.__exit__ = enter, leave


@contextmanager
def counting() -> Iterator[Counts]:
    """Within the block operations on the pretended device can be run, and are counted."""
    counts = Counts()
    _counts.append(counts)
    try:
        with _no_inference_mode(), _Mode(), _Calls(), torch.no_grad():
            yield counts
    finally:
        _counts.remove(counts)


def on_device(model: nn.Module) -> nn.Module:
    """The model with its parameters and buffers on the pretended device."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(Pretended(value.data), requires_grad=False)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = Pretended(value)
    return model
