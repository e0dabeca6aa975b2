"""Everything that determines a model's answers, as named parts, and one fingerprint of all of them.

The parts are computed from the model and processor as they are at the time of the call, so that changed weights, adapters,
chat templates or picture sizes are noticed. Weights are read in full each time, on their own device: this takes a few
milliseconds for a small model, about 0.1 s for 7 billion parameters on a GPU, and about as long as a forward pass for
offloaded weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.vlm.set_by_hand import hooks, methods_of, set_by_hand

VOLATILE = {
    *("_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"),
    *("output_hidden_states", "output_attentions", "return_dict", "processor_class", "chat_template"),
}
"""Settings that do not change an answer, or that have a part of their own."""

WIDTH = 4096
"""Numbers that are summed up in one step of a checksum."""


def identity(model: nn.Module, processor: Any) -> dict[str, str]:
    """Everything that changes what a model answers to a picture and a text, as readable named parts.

    Args:
        model: the model as it is now; adapters may be in it.
        processor: its processor, with tokenizer and image processor.

    Returns:
        Part -> value or 16 hex digits of a long value: `architecture`, `config`, `weights`, `dtype`, `adapters`,
        `tokenizer`, `chat_template`, `date` (where the template writes it), `end_ids`, `processor.*`, `image_processor.*`
        and `transformers`; and only if there is something to say, `set_by_hand` (numbers and unsaved buffers of modules that
        are not as the configuration implies), `hooks` (hooks and methods that somebody put on modules, their classes or torch),
        `processor_methods` (the same of the processor) and `precision` (autocast, or products of float32 in lower precision,
        which are switched on). The same over processes, devices and places of the files, but for `hooks` and
        `processor_methods`, which are never the same in another process.

    Raises:
        HeadAtlasError: a weight has no values.
    """
    parts = {
        "architecture": f"{type(model).__name__} {_architecture(model)}",
        "weights": weights_digest(model),
        "dtype": ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()})),
        "adapters": adapters(model),
        "transformers": transformers.__version__,
    }
    by_hand = {"set_by_hand": set_by_hand(model), "hooks": hooks(model), "precision": _precision(model)}
    parts |= {part: value for part, value in by_hand.items() if value}
    return parts | how_it_reads(model, processor)


def how_it_reads(model: nn.Module, processor: Any) -> dict[str, str]:
    """The parts of `identity` on which it depends how conversations become tokens and pixels, whatever the weights."""
    tokenizer = processor.tokenizer
    template = chat_template(processor)
    parts = {
        "config": config_digest(model),
        "tokenizer": _tokenizer(tokenizer),
        "chat_template": _short(template),
        "date": written_date(template),
        "end_ids": json.dumps(_end_ids(model, tokenizer)),
    }
    image_processor = getattr(processor, "image_processor", None)
    methods = methods_of(*(one for one in (processor, image_processor, tokenizer) if one is not None))
    parts |= {"processor_methods": methods} if methods else {}
    parts |= _settings("processor", processor, leave_out=("image_processor", "tokenizer", "video_processor"))
    return parts | _settings("image_processor", image_processor)


def fingerprint(parts: Mapping[str, str]) -> str:
    """16 hex digits of an identity."""
    return _short(dict(sorted(parts.items())))


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The differences between two identities in one line, such as `dtype (float32 before, bfloat16 now)`; empty if nothing."""
    keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return ", ".join(f"{key} ({before.get(key, 'not set')} before, {now.get(key, 'not set')} now)" for key in keys)


def weights_digest(model: nn.Module, without: nn.Module | None = None) -> str:
    """16 hex digits of every parameter and persistent buffer: name, shape, dtype and all values.

    The weights of the module `without` are left out.
    """
    digest = hashlib.sha256()
    left_out = set() if without is None else set(map(id, without.modules()))
    for name, read in _tensors(model, left_out):
        tensor = read()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode() + checksum(tensor))
    return digest.hexdigest()[:16]


def checksum(tensor: Tensor) -> bytes:
    """16 bytes that change with any value of `tensor` or its place; the same on every device.

    A sum of all bits, taken as integers, each multiplied with its own odd constant modulo 2^64, level by level.
    """
    try:
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    except (RuntimeError, TypeError, NotImplementedError):
        return _checksum_of_subclass(tensor)
    if type(flat) is not Tensor:
        return _checksum_of_subclass(tensor)
    with torch.inference_mode():
        whole = flat.numel() // 4 * 4
        tail = bytes(flat[whole:].cpu().tolist())
        values = flat[:whole].clone().view(torch.int32) if flat.storage_offset() % 4 else flat[:whole].view(torch.int32)
        while values.numel() > WIDTH:
            values = _level(values)
        total = int(_level(values)[0]) if values.numel() else 0
    return hashlib.blake2b(total.to_bytes(8, "little", signed=True) + tail, digest_size=16).digest()


def config_digest(model: nn.Module) -> str:
    """16 hex digits of a model's configuration, without settings that change no answer."""
    return _short(_plain(getattr(model, "config", None)))


def chat_template(processor: Any) -> str:
    """The chat template in use: the processor's, else the tokenizer's; several named ones as JSON."""
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True, default=str)


def written_date(template: str) -> str:
    """The date as the template writes it into every prompt today; empty if it writes none."""
    if "strftime_now" not in template:
        return ""
    formats = re.findall(r"strftime_now\(\s*['\"]([^'\"]+)['\"]", template) or ["%Y-%m-%d"]
    return ", ".join(datetime.now().strftime(one) for one in dict.fromkeys(formats))


def _level(values: Tensor) -> Tensor:
    """One weighted sum (int64, modulo 2^64) for every `WIDTH` numbers; the last run is filled up with zeros."""
    weights = _weights(str(values.device))
    full = values.numel() // WIDTH * WIDTH
    sums = [
        (some.view(-1, WIDTH) * weights).sum(1)  # int32 becomes int64 in the product
        for some in values[:full].split(WIDTH << 8)
    ]
    if full < values.numel():
        rest = values[full:]
        sums.append((rest * weights[: len(rest)]).sum()[None])
    return torch.cat(sums)


@lru_cache(maxsize=16)
def _weights(device: str) -> Tensor:
    """`WIDTH` odd constants (splitmix64), int64."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, WIDTH + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) | np.uint64(1)
    return torch.from_numpy(z.view(np.int64)).to(device)


def _checksum_of_subclass(tensor: Tensor) -> bytes:
    """The checksum of a tensor subclass (torchao and others), from the plain tensors that it consists of.

    Raises:
        HeadAtlasError: its values cannot be read.
    """
    kind = type(tensor).__name__
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    flatten = getattr(tensor, "__tensor_flatten__", None)
    try:
        if flatten is None:
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
            return digest.digest()
        names, context = flatten()
        digest.update(re.sub(r" at 0x[0-9a-f]+", "", repr(context)).encode())  # addresses differ between processes
        for name in names:
            digest.update(name.encode() + checksum(getattr(tensor, name)))
        return digest.digest()
    except (RuntimeError, TypeError, NotImplementedError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise HeadAtlasError(
            f"weights must be tensors whose values can be read, got {kind} ({reason}); load the model without this form of "
            "quantization"
        ) from error


def _tensors(model: nn.Module, left_out: set[int]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Name of every weight and what gives it, sorted by name; names that wrappers add are left out."""
    found: list[tuple[str, Callable[[], Tensor]]] = []
    for path, module in model.named_modules():
        if id(module) in left_out:
            continue
        persistent = {n: b for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set}
        for own, tensor in {**module._parameters, **persistent}.items():
            if tensor is None:
                continue
            name = f"{path}.{own}".replace("_orig_mod.", "").lstrip(".")
            # accelerate keeps an offloaded weight in main memory or on disk, and brings it in for each forward
            offloaded = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
            if tensor.is_meta and offloaded is None:
                raise HeadAtlasError(
                    f"weight {name!r} must have values, got one on the meta device; load the model first"
                )
            found.append(
                (
                    name,
                    partial(_itself, tensor)
                    if offloaded is None or not tensor.is_meta
                    else partial(offloaded.__getitem__, own),
                )
            )
    yield from sorted(found, key=lambda item: item[0])


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _architecture(model: nn.Module) -> str:
    """Digest of every module's name and class: adapters and replaced layers show here even where they hold no weights."""
    names = [f"{path}:{type(module).__name__}" for path, module in model.named_modules()]
    return _short([name.replace("_orig_mod.", "") for name in names if not name.endswith(":OptimizedModule")])


def adapters(model: nn.Module) -> str:
    """State of PEFT's adapter layers: which are active, merged or switched off, and how they are scaled."""
    states: dict[str, list[str]] = {}
    for path, module in model.named_modules():
        if not (hasattr(module, "active_adapters") and hasattr(module, "base_layer")):
            continue
        off = getattr(module, "disable_adapters", False) is True
        active, merged = list(module.active_adapters), list(getattr(module, "merged_adapters", ()))  # type: ignore[arg-type]
        scaling = {str(key): value for key, value in dict(getattr(module, "scaling", {})).items()}  # type: ignore[arg-type]
        state = json.dumps({"active": active, "off": off, "merged": merged, "scaling": scaling}, default=str)
        states.setdefault(state, []).append(path)
    return (
        "; ".join(f"{state} in {len(paths)} modules {_short(paths)}" for state, paths in sorted(states.items()))
        or "none"
    )


def _precision(model: nn.Module) -> str:
    """What torch is told to compute in another precision than that of the weights; empty by default."""
    device = next(model.parameters()).device.type
    device = "cpu" if device == "meta" else device
    products = torch.get_float32_matmul_precision()
    autocast = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else ""
    return " ".join(filter(None, (autocast and f"autocast {autocast}", "" if products == "highest" else products)))


def _tokenizer(tokenizer: Any) -> str:
    """Digest of vocabulary, merges, normalisation and special tokens; padding and truncation are set for each call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        text = backend.to_str()
        rules = text[max(text.find('"added_tokens"'), 0) :]
    else:
        rules = json.dumps(sorted(tokenizer.get_vocab().items()))
    own = {
        "class": type(tokenizer).__name__,
        "special": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
        "adds": [getattr(tokenizer, name, None) for name in ("add_bos_token", "add_eos_token", "legacy")],
    }
    return _short([rules, own])


def _end_ids(model: Any, tokenizer: Any) -> list[Any]:
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [ids, tokenizer.eos_token_id, tokenizer.pad_token_id]


def _settings(prefix: str, part: Any, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Every setting of a processor as one part: short values as they are, long ones as a digest."""
    if part is None:
        return {}
    told = part.to_dict() if hasattr(part, "to_dict") else vars(part)
    out = {f"{prefix}.class": type(part).__name__}
    for key, value in told.items():
        if key in VOLATILE or key in leave_out or key.startswith("_") or callable(value):
            continue
        written = json.dumps(_plain(value), sort_keys=True, default=str)
        out[f"{prefix}.{key}"] = written if len(written) <= 60 else _short(written)
    return out


def _plain(value: Any) -> Any:
    """Nested dicts and lists without volatile settings."""

    def kept(key: str) -> bool:
        return key not in VOLATILE and not key.startswith("_") and "attn_implementation" not in key

    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in sorted(value.items(), key=lambda i: str(i[0])) if kept(str(key))}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return value


def _short(value: Any) -> str:
    """16 hex digits of a text or of plain values."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
