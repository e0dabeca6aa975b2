"""Load a vision-language model with its processor, or say in one line why not.

Knows `transformers`' Auto classes and the shipped models' names; knows nothing of questions or prompts. The model
keeps its own
attention implementation: heads are read and edited by forward pre-hooks, which leave every kernel in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.registry import near, near_folder
from headatlas.vlm.model import VLM

HALF = (torch.float16, torch.bfloat16)


def load_vlm(
    name: str | Path,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
    *,
    device_map: str | Mapping[str, Any] | None = None,
    quantization: Any = None,
    options: Mapping[str, Any] | None = None,
) -> VLM:
    """Load a VLM: a shipped one (`"ref-llava"`), a folder, or a Hugging Face id.

    Args:
        name: shipped name, path of a folder written by `save_pretrained`, or hub id.
        device: by default the first CUDA device if there is one, else the CPU.
        dtype: of the weights, such as `torch.bfloat16` or `"bfloat16"`. By default the checkpoint's own; on the CPU a
            half precision checkpoint is loaded in float32.
        trust_remote_code: allow code that comes with the checkpoint to run.
        device_map: instead of `device`, how accelerate spreads the layers: `"auto"`, or a module path to device mapping. Edits
            and reads take place on each layer's own device.
        quantization: `"8bit"` or `"4bit"` (bitsandbytes, which needs CUDA), or a quantization configuration of transformers'.
        options: further arguments of `from_pretrained`, such as `attn_implementation="flash_attention_2"`, `revision`,
            `max_memory` or `offload_folder`.

    Returns:
        The model, in eval mode, without gradients, with its heads found.

    Raises:
        HeadAtlasError: no such model, not a VLM, one that this release of transformers cannot run, weights missing, remote code
            needed, or heads that cannot be addressed; `device` and `device_map` both given; a quantization whose package or
            device is not there.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    placing = _placing(device, device_map, quantization)
    source = _source(str(name))
    config = _config(str(name), source, trust_remote_code)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise HeadAtlasError(f"model {str(name)!r}: its processor cannot be loaded: {_line(error)}") from error
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise HeadAtlasError(
            f"model {str(name)!r}: expected a processor with image processor and tokenizer, came "
            f"{type(processor).__name__}"
        )
    if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
        processor.chat_template = family_of(config.model_type).chat.template
    if not (processor.chat_template or processor.tokenizer.chat_template):
        raise HeadAtlasError(
            f"model {str(name)!r} has no chat template: expected a chat (instruct) checkpoint, came a base one"
        )
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            source,
            dtype=_dtype(dtype, config, where),
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            **placing,
            **(options or {}),
        )
        model, info = loaded
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, SafetensorError) as error:
        raise HeadAtlasError(f"model {str(name)!r}: its weights cannot be loaded: {_line(error)}") from error
    if info.get("missing_keys"):
        missing = sorted(map(str, info["missing_keys"]))
        raise HeadAtlasError(
            f"model {str(name)!r} lacks {len(missing)} of its weights, such as {missing[0]!r}: a broken checkpoint"
        )
    if not placing:
        model.to(where)
    model.eval().requires_grad_(False)
    vlm = VLM(name=str(name), model=model, processor=processor)
    given = {"trust_remote_code": trust_remote_code, "device_map": device_map, "quantization": quantization}
    vlm.loaded_with = {key: value for key, value in {**given, "options": options}.items() if value}
    return vlm


def check_vlm(name: str | Path, trust_remote_code: bool = False) -> None:
    """Raise as `load_vlm` does for a name that is no vision-language model; reads its configuration only, no weights."""
    _config(str(name), _source(str(name)), trust_remote_code)


def _placing(device: Any, device_map: Any, quantization: Any) -> dict[str, Any]:
    """Arguments of `from_pretrained` that say where the layers go and in what form; none for one device and plain weights."""
    if device is not None and device_map is not None:
        raise HeadAtlasError("expected a device or a device_map, came both")
    placing: dict[str, Any] = {}
    if device_map is not None:
        placing["device_map"] = device_map if isinstance(device_map, str) else dict(device_map)
    if quantization is None:
        return placing
    if "device_map" not in placing:
        placing["device_map"] = {"": str(device)} if device is not None else "auto"
    if isinstance(quantization, str):
        placing["quantization_config"] = _bits(quantization, device)
    else:
        placing["quantization_config"] = quantization
    return placing


def _bits(quantization: str, device: Any) -> Any:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if quantization not in ("8bit", "4bit"):
        raise HeadAtlasError(
            f"expected quantization '8bit', '4bit' or a configuration of transformers', came {quantization!r}"
        )
    if not torch.cuda.is_available() or (device is not None and torch.device(device).type != "cuda"):
        raise HeadAtlasError(
            f"quantization {quantization!r} is bitsandbytes', which HeadAtlas uses on CUDA devices only: "
            f"{'none is available' if not torch.cuda.is_available() else f'came device {str(device)!r}'}; "
            "load without it, or pass a configuration of transformers' that the CPU can run"
        )
    if find_spec("bitsandbytes") is None:
        raise HeadAtlasError(f"quantization {quantization!r} needs bitsandbytes: pip install bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=quantization == "8bit", load_in_4bit=quantization == "4bit")


def _source(name: str) -> str:
    if Path(name).is_dir():
        return name
    if name in shipped.names():
        return str(shipped.path(name))
    folder = near_folder(name)
    if folder or name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists():
        raise HeadAtlasError(
            f"no model at {name!r}{folder or ': it must be a folder with config.json, weights and processor'}"
        )
    if "/" not in name:  # the hub's ids are owner/name: a misspelled shipped name is not looked for there
        names = shipped.names()
        raise HeadAtlasError(
            f"model must be a shipped one ({', '.join(names)}), a folder or a Hugging Face id (owner/name); "
            f"got {name!r}{near(name, names)}"
        )
    return name


def _config(name: str, source: str, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise HeadAtlasError(
                f"model {name!r} comes with its own code: pass trust_remote_code=True if you trust it"
            ) from error
        if Path(source).is_dir():
            raise HeadAtlasError(f"folder {name!r} is not a model: {_line(error)}") from error
        names = ", ".join(shipped.names())
        raise HeadAtlasError(
            f"no model {name!r}: expected a shipped name ({names}), a folder or a Hugging Face id that can be "
            f"reached; {_line(error)}"
        ) from error
    known = type(config) in AutoModelForImageTextToText._model_mapping
    remote = "AutoModelForImageTextToText" in (getattr(config, "auto_map", None) or {})
    if not known and not remote:
        raise HeadAtlasError(
            f"model {name!r} is not a vision-language model: expected a family of AutoModelForImageTextToText, "
            f"came {config.model_type!r}"
        )
    why = family_of(config.model_type).broken.get(transformers.__version__)
    if why:
        raise HeadAtlasError(
            f"model {name!r}: transformers {transformers.__version__} cannot run {config.model_type} ({why}): "
            "install another release of transformers"
        )
    return config


def _dtype(dtype: str | torch.dtype | None, config: Any, device: torch.device) -> Any:
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return dtype
    if dtype is not None:
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype):
            raise HeadAtlasError(f"unknown dtype {dtype!r}: expected float32, bfloat16 or float16")
        return found
    own = config.dtype or getattr(config.get_text_config(), "dtype", None)
    return torch.float32 if device.type == "cpu" and own in HALF else "auto"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
