"""Check a model folder before transformers reads it: files, JSON, sizes and weights; each mistake gives one line.

Without these checks, a damaged file can make transformers raise a long traceback, loop forever, or read files elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.registry import near, near_folder
from headatlas.vlm.weights import check_dtypes

JSON_FILES = (
    *("config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json"),
    *("video_preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.json", "model.safetensors.index.json", "tokenizer.json"),
)
MAX_JSON = 256 << 20
"""Largest JSON file in bytes; tokenizers of 250,000 tokens take 35 MB."""

LIMITS = {
    "num_hidden_layers": 2_000,
    "num_attention_heads": 65_536,
    "num_key_value_heads": 65_536,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "head_dim": 65_536,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 1_000_000_000,
    "image_size": 20_000,
    "patch_size": 20_000,
    "num_local_experts": 10_000,
    "num_experts": 10_000,
    "depth": 2_000,
}
"""The largest value of each size that a model may have; a larger one would take memory or hours before it fails."""

PROCESSOR_LIMITS = {
    "height": 20_000,
    "width": 20_000,
    "min_pixels": 100_000_000,
    "num_additional_image_tokens": 100_000,
    "image_seq_length": 100_000,
    "image_seq_len": 100_000,
    "max_image_tiles": 10_000,
    "max_patches": 1_000_000,
}
"""The same of a processor, which would otherwise make pictures or texts of any size."""
COUNT_AREAS = ("merge_size", "temporal_patch_size", "min_pixels", "max_pixels")
"""Settings of processors whose `shortest_edge` and `longest_edge` count pixels of an area, as Qwen's do."""

LONGEST_EDGE = 200_000
"""A `longest_edge` above it counts pixels of an area, too."""

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps")
"""Numbers that keep norms from dividing by zero: above 0 and far below 1."""

MAY_BE_PAIRS = ("image_size", "patch_size", "intermediate_size")
MAX_PATCHES = 1 << 22


NO_MODELS = {
    "recipe.json": "it is a head recipe; name its model, and the recipe with --recipe or load_vlm(..., recipe=FOLDER), or write "
    "both as one model with HeadRecipe.merge",
    "adapter_config.json": "it is an adapter of PEFT; write it and its model as one with merge_and_unload() and "
    "save_pretrained(), or wrap the PeftModel as headatlas.VLM(name, model, processor)",
    "run.json": "it is the run directory of a study; name the model that was studied",
}
"""What a folder without config.json is that has one of these files."""


def check_folder(name: str, folder: Path) -> None:
    """Raise unless a folder can be a model's.

    Args:
        name: what the user called it, for messages.
        folder: an existing folder.

    Raises:
        HeadAtlasError: a file is missing, special, too large or not a JSON object; a size in a configuration is not possible;
            weights are missing, pickled or outside the folder.
    """
    if not (folder / "config.json").exists():
        other = next((f": {what}" for file, what in NO_MODELS.items() if (folder / file).is_file()), "")
        raise HeadAtlasError(f"folder {name!r} is not a model{other or ': it has no config.json'}")
    for file in JSON_FILES:
        if (folder / file).exists() or (folder / file).is_symlink():
            _object(name, folder / file)
    for file in ("chat_template.jinja", "model.safetensors"):
        if (folder / file).exists():
            _regular(name, folder / file)
    config = _object(name, folder / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise HeadAtlasError(f"folder {name!r} is not a model: model_type in its config.json must be a text")
    for path, value in _configs(config, "config.json"):
        _check_sizes(name, path, value)
    for file in ("processor_config.json", "preprocessor_config.json"):
        if (folder / file).exists():
            parts = list(_configs(_object(name, folder / file), file))
            areas = any(key in value for _, value in parts for key in COUNT_AREAS)
            for path, value in parts:
                _check_processor(name, path, value, areas)
    _check_weights(name, folder)
    if not any(value.get("quantization_config") for _, value in _configs(config, "config.json")):
        for file in sorted(folder.glob("model*.safetensors")):
            check_dtypes(name, file)


def hub_name(name: str, shipped: tuple[str, ...]) -> None:
    """Raise unless `name` can be a hub id: `owner/model`, and neither a path nor a misspelled shipped name.

    Raises:
        HeadAtlasError: with the nearest shipped name.
    """
    folder = near_folder(name)
    first = name.partition("/")[0]
    looks_local = (
        folder
        or name.startswith((".", "/", "~"))
        or "\\" in name
        or name.count("/") > 1
        or Path(name).exists()
        or (first and Path(first).is_dir())
        or name.endswith((".safetensors", ".json", ".gguf", ".bin", ".pt"))
    )
    if looks_local:
        raise HeadAtlasError(
            f"no model at {name!r}{folder or ': it must be a folder with config.json, weights and processor'}"
        )
    if "/" not in name or not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", name):
        raise HeadAtlasError(
            f"model must be a shipped one ({', '.join(shipped)}), a folder or a Hugging Face id (owner/name); "
            f"got {name!r}{near(name, shipped)}"
        )


def _regular(name: str, path: Path) -> None:
    if not path.is_file():
        raise HeadAtlasError(f"model {name!r}: {path.name} must be a regular file that can be read")


def _object(name: str, path: Path) -> dict[str, Any]:
    _regular(name, path)
    if path.stat().st_size > MAX_JSON:
        raise HeadAtlasError(f"model {name!r}: {path.name} must be at most {MAX_JSON >> 20} MB, got more")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise HeadAtlasError(f"model {name!r}: {path.name} must be JSON, got something else ({reason})") from error
    if not isinstance(value, dict):
        raise HeadAtlasError(f"model {name!r}: {path.name} must be a JSON object, got {json.dumps(value)[:40]}")
    return value


def _configs(value: Mapping[str, Any], path: str, level: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A configuration and those inside of it, with their paths."""
    yield path, value
    for key, inner in value.items():
        if isinstance(inner, dict) and level < 4:
            yield from _configs(inner, f"{path}: {key}", level + 1)


def _check_sizes(name: str, path: str, config: Mapping[str, Any]) -> None:
    for key in config:
        if key.endswith("_config") and config[key] is not None and not isinstance(config[key], dict):
            raise HeadAtlasError(f"model {name!r}: {key} in {path} must be an object, got {str(config[key])[:40]!r}")
    for key, most in LIMITS.items():
        given = config.get(key)
        if given is None or isinstance(given, dict):
            continue
        values = given if isinstance(given, list) and key in MAY_BE_PAIRS else [given]
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
                raise HeadAtlasError(
                    f"model {name!r}: {key} in {path} must be a whole number from 1 to {most}, got {str(value)[:40]!r}"
                )
    for key in EPSILONS:
        value = config.get(key)
        if isinstance(value, int | float) and not 0 <= value <= 0.1:
            raise HeadAtlasError(f"model {name!r}: {key} in {path} must be a number from 0 to 0.1, got {value!r:.40}")
    size, patch = config.get("image_size"), config.get("patch_size")
    if isinstance(size, int) and isinstance(patch, int) and (size // patch) ** 2 > MAX_PATCHES:
        raise HeadAtlasError(
            f"model {name!r}: image_size {size} with patch_size {patch} in {path} makes {(size // patch) ** 2} patches; "
            f"at most {MAX_PATCHES} are possible"
        )


def _check_processor(name: str, path: str, config: Mapping[str, Any], areas: bool) -> None:
    longest = config.get("longest_edge")
    areas = areas or (isinstance(longest, int | float) and longest > LONGEST_EDGE)
    for key, most in {**PROCESSOR_LIMITS, "shortest_edge": 100_000_000 if areas else 20_000}.items():
        value = config.get(key)
        if isinstance(value, int | float) and not 0 <= value <= most:
            raise HeadAtlasError(
                f"model {name!r}: {key} in {path} must be a number from 0 to {most}, got {value!r:.40}"
            )


def _check_weights(name: str, folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        files = _object(name, index).get("weight_map")
        if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
            raise HeadAtlasError(f"model {name!r}: weight_map in {index.name} must give a file for each weight")
        for file in sorted(set(files.values())):
            if Path(file).name != file or not file.endswith(".safetensors"):
                raise HeadAtlasError(
                    f"model {name!r}: {index.name} must name .safetensors files in the folder, got {file[:60]!r}"
                )
            if not (folder / file).is_file():
                raise HeadAtlasError(f"model {name!r}: its weights {file!r} are missing")
        return
    if (folder / "model.safetensors").exists() or next(folder.glob("*.safetensors"), None) is not None:
        return
    pickled = next((file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in folder.glob(pattern)), "")
    if pickled:
        raise HeadAtlasError(
            f"model {name!r}: its weights must be safetensors, got the pickle {pickled!r}, which could run code; convert them"
        )
    raise HeadAtlasError(f"model {name!r}: it has no weights: model.safetensors is missing")
