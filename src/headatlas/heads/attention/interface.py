"""Intercept the attention calls of chosen modules where transformers dispatches them.

Every attention module of transformers looks up the function of the configured implementation in `ALL_ATTENTION_FUNCTIONS`
(`sdpa`, `flash_attention_2`, `flex_attention`, a kernel from the hub), or takes the `eager_attention_forward` of its own file,
and calls it with query, key and value after projections, norms and rotary angles. Within `intercepted`, these functions are
wrapped: the model's own function still computes the output, and the observer of the module then sees the call and may replace the
output. Configurations, masks and kernels stay as they are. Works with transformers >= 5.0.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers.modeling_utils import AttentionInterface

from headatlas.errors import HeadAtlasError
from headatlas.heads.attention.call import ARGUMENTS, AttentionCall

Observer = Callable[[AttentionCall], AttentionCall | None]
"""Called with every call of the attention function; a call that it returns replaces the original, including its output."""

EAGER = "eager_attention_forward"
"""Name of the eager function in the files of transformers, possibly with a prefix."""

_lock = threading.RLock()
_observers: dict[nn.Module, list[Observer]] = {}
_installed: dict[str, Any] = {}
"""While intercepting: the original `__getitem__`, under ""; and the eager functions of each file, under its module name."""
_files: dict[str, int] = {}
"""Number of open contexts that need the eager functions of a file."""
_inside = threading.local()


@contextmanager
def intercepted(observers: Mapping[nn.Module, Observer]) -> Iterator[None]:
    """Within the block, each module's observer is called with every attention call of the module. Contexts nest: an outer
    context's observer is called first."""
    files = {name for module in observers for name in _files_of(module)}
    with _lock:
        if not _observers:
            _install_interface()
        for name in files:
            _install_eager(name)
        for module, observer in observers.items():
            _observers.setdefault(module, []).append(observer)
    try:
        yield
    finally:
        with _lock:
            for module, observer in observers.items():
                _observers[module].remove(observer)
                if not _observers[module]:
                    del _observers[module]
            for name in files:
                _remove_eager(name)
            if not _observers:
                _remove_interface()


def _install_interface() -> None:
    original = AttentionInterface.__getitem__

    def getitem(self: AttentionInterface, key: str) -> Callable[..., Any]:
        return _wrapped(original(self, key), key)

    _installed[""] = AttentionInterface.__dict__.get("__getitem__")
    AttentionInterface.__getitem__ = getitem


def _remove_interface() -> None:
    own = _installed.pop("")
    if own is None:
        del AttentionInterface.__getitem__
    else:
        AttentionInterface.__getitem__ = own


def _files_of(module: nn.Module) -> list[str]:
    """Files of the module's class and its bases that have an eager attention function."""
    names = dict.fromkeys(kind.__module__ for kind in type(module).__mro__ if kind is not object)
    return [name for name in names if not name.startswith("torch.") and _eager_functions(name)]


def _eager_functions(file: str) -> dict[str, Callable[..., Any]]:
    members = vars(sys.modules[file]) if file in sys.modules else {}
    return {name: value for name, value in members.items() if name.endswith(EAGER) and callable(value)}


def _install_eager(file: str) -> None:
    _files[file] = _files.get(file, 0) + 1
    if _files[file] == 1:
        _installed[file] = _eager_functions(file)
        for name, function in _installed[file].items():
            setattr(sys.modules[file], name, _wrapped(function, "eager"))


def _remove_eager(file: str) -> None:
    _files[file] -= 1
    if not _files[file]:
        del _files[file]
        for name, function in _installed.pop(file).items():
            setattr(sys.modules[file], name, function)


_signature = functools.lru_cache(maxsize=256)(inspect.signature)
"""The signature of an attention function, which is asked for at every layer."""


def _by_name(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any], implementation: str
) -> dict[str, Any]:
    """The arguments of a call, defaults included, the first five by the names that transformers has for them.

    A function that somebody registered may call them something else: transformers gives them by position.
    """
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for at, (name, value) in enumerate(bound.arguments.items()):
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            given |= value
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            given |= dict(zip(ARGUMENTS[at:], value, strict=False))
        elif name in ARGUMENTS or at >= len(ARGUMENTS) or ARGUMENTS[at] in signature.parameters:
            given[name] = value
        else:
            given[ARGUMENTS[at]] = value
    if missing := [name for name in ARGUMENTS if name not in given]:
        raise HeadAtlasError(
            f"the attention function {implementation!r} must take {', '.join(ARGUMENTS)} in this order, got a function of "
            f"{signature} and a call without {missing[0]}: attention cannot be read from it"
        )
    return given


def _wrapped(function: Callable[..., Any], implementation: str) -> Callable[..., Any]:
    signature = _signature(function)

    @functools.wraps(function)
    def attention(*args: Any, **kwargs: Any) -> Any:
        module = args[0] if args else kwargs.get("module")
        watching = _observers.get(module) if isinstance(module, nn.Module) else None
        if not watching or getattr(_inside, "module", None) is module:
            return function(*args, **kwargs)
        _inside.module = module
        try:
            made = function(*args, **kwargs)
            output, rest = (made[0], made[1:]) if isinstance(made, tuple) else (made, None)
            given = _by_name(signature, args, kwargs, implementation)
            call = AttentionCall.of(implementation, given, output, rest[0] if rest else None)
            for observer in tuple(watching):
                call = observer(call) or call
        finally:
            _inside.module = None
        return call.output if rest is None else (call.output, *rest)

    return attention
