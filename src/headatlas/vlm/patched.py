"""Methods of a library's classes, and functions of its modules, that other code has put in place of the library's own.

A patch such as `LlamaMLP.forward = mine` acts on every model of the class, also on those that are loaded later, and no module
shows it. It is known by the file in which the code was written: that of no library, and not that of the class.
"""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

LIBRARIES = ("transformers", "torch", "accelerate", "peft", "headatlas", "kernels")
"""Packages whose functions may stand in one another's classes."""
TORCH = (torch, torch.nn.functional)
"""Modules of functions that models call by name."""
REMOTE = "transformers_modules"
"""The package in which transformers puts code that came with a checkpoint."""


def patches(model: nn.Module) -> tuple[dict[str, str], dict[str, str]]:
    """What was patched of the classes and modules that a model is made of, and of torch's functions, by name.

    Returns:
        Patches whose code can change from process to process (written in a script or notebook), and those of installed
        packages, with a digest of their code.
    """
    return _sorted(_patched(model))


def patched_classes(*objects: Any) -> tuple[dict[str, str], dict[str, str]]:
    """As `patches`, of the classes of some objects alone."""
    return _sorted(_of_kinds(dict.fromkeys(kind for one in objects for kind in type(one).__mro__)))


def _sorted(found: Iterable[tuple[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    own: dict[str, str] = {}
    installed: dict[str, str] = {}
    for name, function in found:
        code = _code(function)
        if code is not None and _is_below(code.co_filename, _site_packages()):
            installed[name] = f"{function.__module__}.{function.__qualname__} {_digest(code)}"
        else:
            own[name] = f"{getattr(function, '__qualname__', type(function).__qualname__)} {id(function)}"
    return own, installed


def _patched(model: nn.Module) -> Iterator[tuple[str, Any]]:
    kinds = dict.fromkeys(kind for one in {type(module) for module in model.modules()} for kind in one.__mro__)
    yield from _of_kinds(kinds)
    homes = {kind.__module__: None for kind in kinds if kind.__module__.startswith("transformers.models.")}
    for home in TORCH:
        for name, value in vars(home).items():
            if isinstance(value, FunctionType) and not all(_belongs(one, "") for one in _layers(value)):
                yield f"{home.__name__}.{name}", value
    for implementation in {
        str(getattr(getattr(one, "config", None), "_attn_implementation", "")) for one in model.modules()
    }:
        attention = ALL_ATTENTION_FUNCTIONS.get(implementation)
        if attention is not None and not all(_belongs(one, "") for one in _layers(attention)):
            yield f"attention {implementation}", attention
    for home in homes:
        for name, value in vars(sys.modules[home]).items():
            if not isinstance(value, FunctionType) or all(_belongs(one, "") for one in _layers(value)):
                continue
            code = _code(value)
            imported = code is not None and _is_below(code.co_filename, _site_packages())
            if not imported or name in _defined(home):
                yield f"{home}.{name}", value


def _of_kinds(kinds: Iterable[type]) -> Iterator[tuple[str, Any]]:
    for kind in kinds:
        home = kind.__module__.partition(".")[0]
        if home not in LIBRARIES and home != REMOTE:
            continue
        file = str(getattr(sys.modules.get(kind.__module__), "__file__", ""))
        for name, value in vars(kind).items():
            for function in _layers(value):
                other = name == "forward" and function is _plain(value) and _of_another_class(function, kind)
                if other or not _belongs(function, file):
                    yield f"{kind.__module__}.{kind.__qualname__}.{name}", function
                    break


def _plain(value: Any) -> Any:
    """The function of a static or class method, a property or a partial function."""
    while True:
        if isinstance(value, partial):
            value = value.func
            continue
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None)
        if inner is None:
            return value
        value = inner


def _layers(value: Any) -> Iterator[Any]:
    """A function and those that it wraps, the outermost first; nothing for other values."""
    value, seen = _plain(value), 0
    while callable(value) and not isinstance(value, type) and seen < 20:
        yield value
        value, seen = _plain(getattr(value, "__wrapped__", None)), seen + 1


def _code(function: Any) -> CodeType | None:
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _belongs(function: Any, file: str) -> bool:
    """Whether a function was written in a library or in `file`; also of one that is no Python code."""
    code = _code(function)
    if code is None:
        return True
    written = code.co_filename
    if written.startswith("<"):  # made by a library at run time
        return str(getattr(function, "__module__", "")).partition(".")[0] in LIBRARIES
    if _is_below(written, _standard()) and not _is_below(written, _site_packages()):
        return True  # a decorator of Python's own
    if Path(written).name == "typing_extensions.py":
        return True  # of functions that torch calls deprecated
    return written == file or _is_below(written, _roots())


def _of_another_class(function: Any, kind: type) -> bool:
    name = getattr(function, "__qualname__", "")
    return name.endswith(".forward") and name != f"{kind.__qualname__}.forward"


def _is_below(file: str, folders: tuple[str, ...]) -> bool:
    return file.startswith(folders)


@lru_cache(maxsize=256)
def _defined(home: str) -> frozenset[str]:
    """The functions that a module's source defines."""
    try:
        source = Path(str(sys.modules[home].__file__)).read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    return frozenset(re.findall(r"^def (\w+)", source, re.MULTILINE))


@lru_cache(maxsize=1)
def _standard() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))


@lru_cache(maxsize=1)
def _roots() -> tuple[str, ...]:
    """The folders of the libraries."""
    specs = [find_spec(name) for name in LIBRARIES]
    return tuple(f"{Path(folder)}/" for spec in specs if spec for folder in spec.submodule_search_locations or ())


@lru_cache(maxsize=1)
def _site_packages() -> tuple[str, ...]:
    return tuple(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib"))


def _digest(code: CodeType) -> str:
    digest = hashlib.sha256(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        digest.update(_digest(constant).encode() if isinstance(constant, CodeType) else repr(constant).encode())
    return digest.hexdigest()[:8]
