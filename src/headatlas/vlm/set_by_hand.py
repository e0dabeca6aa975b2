"""What was changed by hand in a model's modules: numbers and unsaved buffers, hooks, replaced methods.

A checkpoint holds weights and a configuration. Everything else in the modules follows from the configuration: epsilons of norms,
scales of attention, rotary frequencies. So a second model of the same class and configuration is built on the meta device, which
has no weights and takes about as long as reading `config.json`, and its numbers and buffers are compared with those of the model.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import logging
import math
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from headatlas.vlm.patched import patched_classes, patches

CLOSE = 1e-5
"""Relative difference below which a buffer is as built: another device may round its last digits differently."""
NOT_SETTINGS = ("training", "gradient_checkpointing", "is_gradient_checkpointing", "name_or_path")
"""Attributes that change no answer in evaluation mode, or have a part of the identity of their own."""
WARM = ("cached", "cache", "rope_deltas", "long_inv_freq")
"""Parts of names of attributes that a forward fills in."""
OWN = ("headatlas.", "accelerate.", "peft.", "transformers.", "torch.", "transformers_modules.")
"""Packages whose hooks and methods follow from edits in force, the placing of layers, adapters or the configuration."""
SHOWN = 3
"""Changes that are written out; the rest is counted."""

log = logging.getLogger("headatlas")
_building = threading.Lock()
_PROCESS = uuid.uuid4().hex[:8]
_built: LRUCache[str, dict[str, _Module] | None] = LRUCache(8)


class _Module:
    """What a module has after building: its class, its weights' names, its plain attributes and its unsaved buffers."""

    def __init__(self, module: nn.Module) -> None:
        self.kind = type(module).__name__
        self.weights = _weights(module)
        self.values = dict(_settings(module))
        self.buffers = {
            name: buffer
            for name, buffer in module._buffers.items()
            if name in module._non_persistent_buffers_set and buffer is not None and not buffer.is_meta
        }
        # Frequencies of these depend on the length of the last input; the others are computed from them.
        self.warm = any(kind in str(getattr(module, "rope_type", "")) for kind in ("dynamic", "longrope"))


def set_by_hand(model: nn.Module) -> str:
    """In words, which numbers and unsaved buffers of the modules are not as the configuration implies; empty if all are.

    Args:
        model: a transformers model; adapters may be in it. Modules of other classes than the configuration implies
            (adapters, quantised layers) are not compared, and none if no second model can be built (remote code).
    """
    plain: Any = model
    if hasattr(plain, "get_base_model"):  # of PEFT
        plain = plain.get_base_model()
    built = _as_built(plain)
    if not built:
        return ""
    changes: dict[str, str] = {}
    for path, fresh in built.items():
        module = _at(plain, path)
        if module is not None and type(module).__name__ == fresh.kind:
            changes |= {f"{path}.{name}".lstrip("."): change for name, change in _differences(module, fresh)}
    return _written(changes)


def other_modules(model: nn.Module) -> str:
    """In words, the modules and names of weights that are not those of the model's class and configuration: parametrized, pruned,
    replaced or wrapped layers; empty if there are none, or no second model can be built (remote code, quantisation)."""
    built = None if getattr(model, "hf_quantizer", None) is not None else _as_built(model)
    if not built:
        return ""
    changes: dict[str, str] = {}
    now = dict(model.named_modules(remove_duplicate=False))
    for path in dict.fromkeys([*built, *now]):
        fresh, module = built.get(path), now.get(path)
        if fresh is None or module is None or type(module).__name__ != fresh.kind:
            is_now = "missing" if module is None else type(module).__name__
            changes[path] = is_now if fresh is None else f"{is_now} instead of {fresh.kind}"
        elif _weights(module) != fresh.weights:
            changes[path] = f"with {', '.join(_weights(module))} instead of {', '.join(fresh.weights) or 'no weights'}"
    return _written(changes)


def hooks(model: nn.Module) -> str:
    """Hooks, methods and modes that somebody put on the modules, their classes or torch by hand; empty if there are none.

    What they do cannot be read, so the text differs between processes and from hook to hook: no stored answer is used again.
    Only patches of installed packages are the same in each process.
    """
    changes, installed = patches(model)
    for path, module in model.named_modules():
        for name in ("_forward_pre_hooks", "_forward_hooks"):
            for number, hook in getattr(module, name).items():
                if not _of_a_library(hook):
                    changes[f"{path}.{name[1:-1]}_{number}".lstrip(".")] = _name(hook)
        changes |= {
            f"{path}.{name}".lstrip("."): f"{_name(method)} {id(method)}"
            for name, method in _own_methods(module)
            if name != "forward" or not hasattr(module, "_hf_hook")
        }
    for kind, everywhere in (("forward_pre_hook", _global_forward_pre_hooks), ("forward_hook", _global_forward_hooks)):
        for number, hook in everywhere.items():
            if not _of_a_library(hook):
                changes[f"every module.{kind}_{number}"] = _name(hook)
    for mode in (*_get_current_function_mode_stack(), *_get_current_dispatch_mode_stack()):
        if not _of_a_library(mode):
            changes[f"mode {_name(mode)}"] = str(id(mode))
    return _in_process(changes, installed)


def methods_of(*objects: Any) -> str:
    """As `hooks`, of a processor and its parts: methods that somebody put on them, or on their classes."""
    changes, installed = patched_classes(*objects)
    for one in objects:
        for name, method in _own_methods(one):
            changes[f"{type(one).__name__}.{name}"] = f"{_name(method)} {id(method)}"
    return _in_process(changes, installed)


def _own_methods(owner: Any) -> Iterator[tuple[str, Any]]:
    """The functions among an object's own attributes that are of no library."""
    for name, value in vars(owner).items():
        if isinstance(value, FunctionType | MethodType | functools.partial) and not _of_a_library(value):
            yield name, value


def _in_process(changes: dict[str, str], installed: dict[str, str]) -> str:
    parts = [f"{_written(changes)} in process {_PROCESS}" if changes else "", _written(installed)]
    return "; ".join(filter(None, parts))


def dropout_on(model: nn.Module) -> str:
    """Name of a module that would draw random numbers, being in training mode with dropout; empty if none."""
    waiting = [model]
    while waiting:  # called before each batch: `model.modules()` takes ten times as long
        module = waiting.pop()
        if module.training and (name := _dropout(module)):
            path = next((path for path, one in model.named_modules() if one is module), "")
            return f"{path}.{name}".lstrip(".")
        waiting += [one for one in module._modules.values() if one is not None]
    return ""


def _dropout(module: nn.Module) -> str:
    for name, value in vars(module).items():
        drops = "drop" in name or (name == "p" and "Dropout" in type(module).__name__)
        if drops and isinstance(value, float) and value > 0:
            return name
    return ""


def _differences(module: nn.Module, fresh: _Module) -> Iterator[tuple[str, str]]:
    now = dict(_settings(module))
    for name, value in fresh.values.items():
        if name in now and not _same(now[name], value):
            yield name, f"{now[name]!r} instead of {value!r}"
        elif name not in now and isinstance(getattr(module, name, None), Tensor) and _is_number(value):
            tensor = getattr(module, name)
            if tensor.numel() != 1 or not _same(float(tensor), value):
                yield name, f"{_digest(tensor)} instead of {value!r}"
    for name, value in now.items():
        default = getattr(type(module), name, None)
        if name not in fresh.values and _is_plain(default) and not _same(default, value):
            yield name, f"{value!r} instead of {default!r}"
    for name, buffer in fresh.buffers.items():
        there = module._buffers.get(name)
        if there is None or there.is_meta or (fresh.warm and name.endswith("inv_freq") and "original" not in name):
            continue
        if not _close(there, buffer):
            yield name, f"{_digest(there)} instead of {_digest(buffer)}"


def _as_built(model: Any) -> dict[str, _Module] | None:
    """The modules of a second model of the same class and configuration by path; None if there can be none."""
    try:
        config = json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    except (AttributeError, TypeError, ValueError):
        return None
    key = hashlib.sha256(f"{type(model).__module__}.{type(model).__qualname__} {_dtype(model)} {config}".encode())
    with _building:  # building sets torch's default dtype for a moment
        if key.hexdigest() not in _built:
            _built[key.hexdigest()] = _build(model)
        return _built[key.hexdigest()]


def _build(model: Any) -> dict[str, _Module] | None:
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # a second model repeats the warnings of the first
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.device("meta"):
                fresh = type(model)._from_config(copy.deepcopy(model.config), dtype=_dtype(model))
            for module in fresh.modules():
                for name in module._non_persistent_buffers_set:
                    buffer = module._buffers.get(name)
                    if buffer is not None:
                        module._buffers[name] = torch.empty_like(buffer, device="cpu")
            for tensor in (*fresh.parameters(), *fresh.buffers()):
                if tensor.is_meta:
                    tensor._is_hf_initialized = True
            for module in fresh.modules():
                module._is_hf_initialized = not any(
                    module._buffers.get(name) is not None for name in module._non_persistent_buffers_set
                )
            fresh.initialize_weights()  # as after loading: unsaved buffers get their values here
        return {path: _Module(module) for path, module in fresh.named_modules()}
    except Exception as error:  # transformers' classes raise whatever they like
        log.debug("%s cannot be built from its configuration: %s", type(model).__name__, error)
        return None
    finally:
        logging.disable(level)


def _weights(module: nn.Module) -> list[str]:
    """Names of what a checkpoint holds of the module itself."""
    saved = {**module._parameters, **module._buffers}
    return sorted(
        name for name, value in saved.items() if value is not None and name not in module._non_persistent_buffers_set
    )


def _settings(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The plain attributes of a module that its forward may read."""
    for name, value in vars(module).items():
        skipped = name.startswith("_") or name in NOT_SETTINGS or any(part in name for part in WARM)
        if not skipped and _is_plain(value):
            yield name, value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and _is_plain(one) for key, one in value.items())
    return isinstance(value, bool | int | float | str | torch.dtype)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b):
        return math.isclose(a, b, rel_tol=1e-9) or (a != a and b != b)
    return bool(a == b)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.is_floating_point() != b.is_floating_point():
        return False
    a, b = a.detach().cpu(), b.detach()
    if a.is_complex() or not a.is_floating_point():
        return bool(torch.equal(a, b.to(a.dtype)))
    return bool(torch.allclose(a.double(), b.double(), rtol=CLOSE, atol=1e-12, equal_nan=True))


def _at(model: nn.Module, path: str) -> nn.Module | None:
    """The module at `path`, inside of the wrappers that PEFT and `torch.compile` put around modules."""
    module: nn.Module | None = model
    for part in path.split(".") if path else ():
        module = None if module is None else module._modules.get(part)
        while module is not None:
            inner = module._modules.get("_orig_mod") or module._modules.get("base_layer")
            if inner is None:
                break
            module = inner
    return module


def _of_a_library(hook: Any) -> bool:
    while isinstance(hook, functools.partial):
        hook = hook.func
    hook = getattr(hook, "__func__", hook)
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return f"{home}.".startswith(OWN)


def _name(hook: Any) -> str:
    return str(getattr(hook, "__qualname__", None) or type(hook).__qualname__)


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu()
    values = torch.view_as_real(values) if values.is_complex() else values
    return hashlib.sha256(f"{tuple(values.shape)}{values.double().tolist()}".encode()).hexdigest()[:8]


def _dtype(model: Any) -> torch.dtype:
    dtype = model.dtype
    return dtype if dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64) else torch.float32


def _written(changes: dict[str, str]) -> str:
    lines = [f"{name} {change}" for name, change in sorted(changes.items())]
    if len(lines) <= SHOWN:
        return "; ".join(lines)
    rest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
    return f"{'; '.join(lines[:SHOWN])}; {len(lines) - SHOWN} more ({rest})"
