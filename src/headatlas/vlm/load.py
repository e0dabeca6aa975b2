"""Load a vision-language model with its processor; every failure is reported in one line.

The model keeps its own attention implementation, because heads are read and edited by forward pre-hooks. A folder is checked
before transformers reads it (`folder.py`), and a loaded model is run once on a small picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.transformers_bars import no_bars
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation, Turn, messages, render
from headatlas.vlm.finite import require_finite
from headatlas.vlm.folder import check_folder, hub_name
from headatlas.vlm.forward import logits_at
from headatlas.vlm.model import VLM
from headatlas.vlm.recipe import HeadRecipe
from headatlas.vlm.template import check_template, limits
from headatlas.vlm.weights import check_unused, warn_of_zeros

HALF = (torch.float16, torch.bfloat16)
TRIED_ON_CPU = 1_000_000_000
"""Models of more parameters are not run at loading on the CPU, where that takes minutes."""
SMALL = 200 * 2**20
"""Weights of fewer bytes are read in about a second."""
PROBE = Image.new("RGB", (64, 64), (120, 130, 140))
"""The picture that a loaded model is tried on."""


def load_vlm(
    name: str | Path,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
    *,
    device_map: str | Mapping[str, Any] | None = None,
    quantization: Any = None,
    revision: str | None = None,
    options: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
) -> VLM:
    """Load a VLM: a shipped one (`"ref-llava"`), a folder, or a Hugging Face id.

    Args:
        name: shipped name, path of a folder (written by `save_pretrained`, or the parts of a model of the family
            smol), or hub id.
        device: by default the first CUDA device if there is one, else the CPU.
        dtype: of the weights, such as `torch.bfloat16` or `"bfloat16"`. By default that of the recipe if there is one, else the
            checkpoint's own; on the CPU a half precision checkpoint is loaded in float32.
        trust_remote_code: allow code that comes with the checkpoint to run.
        device_map: instead of `device`, how accelerate spreads the layers: `"auto"`, or a module path to device mapping. Edits
            and reads take place on each layer's own device.
        quantization: `"8bit"` or `"4bit"` (bitsandbytes, which needs CUDA), or a quantization configuration of transformers'.
        revision: of a Hugging Face id: branch, tag or commit, from which configuration, processor and weights are taken.
        options: further arguments of `from_pretrained`, such as `attn_implementation="flash_attention_2"`, `max_memory` or
            `offload_folder`.
        recipe: folder of a `HeadRecipe`, which is then part of everything the model answers.

    Returns:
        The model, in eval mode, without gradients, with its heads found.

    Raises:
        HeadAtlasError: no such model, not a VLM, one that this release of transformers cannot run, weights missing, the base of a
            model in parts not fetched yet, remote code needed, or heads that cannot be addressed; `device` and `device_map` both
            given; a revision of something that is not a Hugging Face id; a quantization whose package or device is not there; a
            recipe that is damaged or was made for another model.
    """
    kept = None if recipe is None else HeadRecipe.load(recipe)
    wanted = kept.dtype if dtype is None and kept is not None and quantization is None else dtype
    placing = _placing(device, device_map, quantization)
    where = _where(device)
    source = _source(str(name))
    hub = _hub(str(name), source, revision, options or {})
    config = _config(str(name), source, trust_remote_code, hub)
    processor = _processor(str(name), source, config, trust_remote_code, hub)
    more = {**placing, **(options or {}), **hub}
    model = _model(str(name), source, _dtype(wanted, config, where), trust_remote_code, more)
    with _one_line(f"model {str(name)!r} cannot be used"):
        if not placing:
            model.to(where)
        model.eval().requires_grad_(False)
        vlm = VLM(name=str(name), model=model, processor=processor)
        _try(vlm)
    given = {"trust_remote_code": trust_remote_code, "device_map": device_map, "quantization": quantization}
    given |= {"options": options, "recipe": None if recipe is None else str(recipe), "revision": revision}
    given |= {"dtype": None if dtype is None else str(dtype).removeprefix("torch.")}
    vlm.loaded_with = {key: value for key, value in given.items() if value}
    if kept is not None:
        vlm.keep_recipe(kept)
    return vlm


def check_vlm(name: str | Path, trust_remote_code: bool = False, revision: str | None = None) -> None:
    """Raise as `load_vlm` does if `name` is not a vision-language model; reads no weights."""
    source = _source(str(name))
    _config(str(name), source, trust_remote_code, _hub(str(name), source, revision, {}))


HUB_OPTIONS = ("revision", "token", "cache_dir", "subfolder", "force_download", "local_files_only")
"""Options of `from_pretrained` that say where files come from: for configuration and processor as for weights."""


def _hub(name: str, source: str, revision: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say where the files come from."""
    hub = {key: options[key] for key in HUB_OPTIONS if options.get(key) is not None}
    if revision is not None and hub.setdefault("revision", revision) != revision:
        raise HeadAtlasError(f"revision must be given once, got {revision!r} and, in options, {hub['revision']!r}")
    if "revision" in hub and Path(source).is_dir():
        raise HeadAtlasError(
            f"a revision applies to a Hugging Face id, got {hub['revision']!r} for the folder {name!r}"
        )
    return hub


def _placing(device: Any, device_map: Any, quantization: Any) -> dict[str, Any]:
    """Arguments of `from_pretrained` for placing and quantizing the layers; none for one device and plain weights."""
    if device is not None and device_map is not None:
        raise HeadAtlasError("device and device_map must not be given both")
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
            f"quantization must be '8bit', '4bit' or a configuration of transformers', got {quantization!r}"
        )
    if not torch.cuda.is_available() or (device is not None and torch.device(device).type != "cuda"):
        raise HeadAtlasError(
            f"quantization {quantization!r} is bitsandbytes', which HeadAtlas uses on CUDA devices only: "
            f"{'none is available' if not torch.cuda.is_available() else f'got device {str(device)!r}'}; "
            "load without it, or pass a configuration of transformers' that the CPU can run"
        )
    if find_spec("bitsandbytes") is None:
        raise HeadAtlasError(f"quantization {quantization!r} needs bitsandbytes: pip install bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=quantization == "8bit", load_in_4bit=quantization == "4bit")


def _source(name: str) -> str:
    """The folder or hub id to load from. Raises `HeadAtlasError` for a name that can be neither."""
    if not name.strip():
        raise HeadAtlasError("name must be a shipped name, a folder or a Hugging Face id, got an empty text")
    if Path(name).is_dir():
        folder = shipped.complete(Path(name))
        check_folder(name, folder)
        return name if folder == Path(name) else str(folder)
    known = shipped.known()
    if name in known:
        return str(shipped.path(name))
    hub_name(name, known)
    return name


def _config(name: str, source: str, trust_remote_code: bool, hub: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **hub)
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise HeadAtlasError(
                f"model {name!r} comes with its own code: pass trust_remote_code=True if you trust it"
            ) from error
        if Path(source).is_dir():
            raise HeadAtlasError(f"folder {name!r} is not a model: {_line(error)}") from error
        names = ", ".join((*shipped.names(), *shipped.in_parts()))
        raise HeadAtlasError(
            f"no model {name!r}: it must be a shipped name ({names}), a folder or a Hugging Face id that can be "
            f"reached; {_line(error)}"
        ) from error
    known = type(config) in AutoModelForImageTextToText._model_mapping
    remote = "AutoModelForImageTextToText" in (getattr(config, "auto_map", None) or {})
    if not known and not remote:
        raise HeadAtlasError(
            f"model {name!r} is not a vision-language model: its family must be one of AutoModelForImageTextToText, "
            f"got {config.model_type!r}"
        )
    why = family_of(config.model_type).broken.get(transformers.__version__)
    if why:
        raise HeadAtlasError(
            f"model {name!r}: transformers {transformers.__version__} cannot run {config.model_type} ({why}): "
            "install another release of transformers"
        )
    return config


def _processor(name: str, source: str, config: Any, trust_remote_code: bool, hub: Mapping[str, Any]) -> Any:
    from transformers import AutoProcessor

    with _one_line(f"model {name!r}: its processor cannot be loaded"):
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=trust_remote_code, **hub)
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise HeadAtlasError(
            f"model {name!r}: its processor must have an image processor and a tokenizer, got {type(processor).__name__}"
        )
    if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
        processor.chat_template = family_of(config.model_type).chat.template
    if not (processor.chat_template or processor.tokenizer.chat_template):
        raise HeadAtlasError(
            f"model {name!r} has no chat template: it must be a chat (instruct) checkpoint, got a base one"
        )
    for template in filter(None, (getattr(processor, "chat_template", None), processor.tokenizer.chat_template)):
        check_template(name, template)
    with _one_line(f"model {name!r}: its chat template fails"), limits():
        probe = Conversation((PROBE,), (Turn("probe"),))
        (text,) = render(processor, [messages(probe)], True)
    if "probe" not in text:
        raise HeadAtlasError(f"model {name!r}: its chat template must write the user's text, got {text[:60]!r}")
    return processor


def _model(name: str, source: str, dtype: Any, trust_remote_code: bool, options: dict[str, Any]) -> Any:
    from transformers import AutoModelForImageTextToText

    safe = {} if "gguf_file" in options else {"use_safetensors": True}
    safe["ignore_mismatched_sizes"] = True  # they are an error below, which names one
    with _one_line(f"model {name!r}: its weights cannot be loaded"), no_bars(_is_small(source)):
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            source, dtype=dtype, output_loading_info=True, trust_remote_code=trust_remote_code, **{**safe, **options}
        )
        model, info = loaded
    if info.get("missing_keys"):
        missing = sorted(map(str, info["missing_keys"]))
        raise HeadAtlasError(
            f"model {name!r} lacks {len(missing)} of its weights, such as {missing[0]!r}: the checkpoint is damaged"
        )
    if info.get("mismatched_keys"):
        first = str(min(map(str, info["mismatched_keys"])))[:120]
        raise HeadAtlasError(f"model {name!r}: weights must have the shapes that config.json says, got {first}")
    check_unused(name, info.get("unexpected_keys") or (), (key for key, _ in model.named_parameters()))
    warn_of_zeros(name, model)
    return model


def _is_small(source: str) -> bool:
    """Whether `source` is a folder whose weights load in a moment, so that a progress bar would say nothing."""
    folder = Path(source)
    return folder.is_dir() and sum(file.stat().st_size for file in folder.glob("*.safetensors")) < SMALL


def _try(vlm: VLM) -> None:
    """Let a model answer a question about one small picture, so that a damaged one is noticed at once.

    Large models on the CPU, and offloaded ones, are only tested up to their inputs.
    """
    batch = encode(vlm, [Conversation((PROBE,), (Turn("probe", "yes"),))])
    n_tokens = getattr(vlm.model.get_input_embeddings(), "num_embeddings", None)
    largest = max(int(batch.ids.max()), *vlm.end_ids, *vlm.image_ids)
    if n_tokens is not None and not 0 <= largest < n_tokens:
        raise HeadAtlasError(f"{vlm.name}: token ids must be below {n_tokens}, its embeddings, got {largest}")
    parameters = list(vlm.model.parameters())
    offloaded = any(parameter.is_meta for parameter in parameters)
    if offloaded or (vlm.device.type == "cpu" and sum(parameter.numel() for parameter in parameters) > TRIED_ON_CPU):
        return
    require_finite(vlm, logits_at(vlm, batch, batch.predict_mask(), [0]), batch)


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Turn any exception that transformers raises for a damaged file, including panics of its Rust parts, into one line."""
    try:
        yield
    except (HeadAtlasError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise HeadAtlasError(f"{what}: {type(error).__name__}: {_line(error)}") from error


def _where(device: Any) -> torch.device:
    try:
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, TypeError) as error:
        raise HeadAtlasError(f"device must be one of torch's, such as 'cpu' or 'cuda:0', got {device!r}") from error
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise HeadAtlasError(
            f"device {str(where)!r} is not there: PyTorch finds {torch.cuda.device_count() or 'no'} CUDA devices"
        )
    return where


def _dtype(dtype: str | torch.dtype | None, config: Any, device: torch.device) -> Any:
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return dtype
    if dtype is not None:
        found = getattr(torch, str(dtype).removeprefix("torch."), None)
        if not isinstance(found, torch.dtype):
            raise HeadAtlasError(f"dtype must be float32, bfloat16 or float16, got {dtype!r}")
        return found
    own = config.dtype or getattr(config.get_text_config(), "dtype", None)
    return torch.float32 if device.type == "cpu" and own in HALF else "auto"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
