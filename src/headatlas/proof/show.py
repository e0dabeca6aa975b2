"""Describe one model's heads as lines of text: tower by tower, with attention kernels and what is not addressed.

A family's name gives the class's default configuration on torch's meta device: sizes without weights.
"""

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
import transformers
from PIL import Image
from torch import nn
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from headatlas.errors import HeadAtlasError
from headatlas.families.family import family_of
from headatlas.heads import SCOPES, TOWERS, Site, find_heads
from headatlas.heads.address import TEXT_TOWERS
from headatlas.proof.build import MODEL_TYPES

if TYPE_CHECKING:
    from headatlas.vlm import VLM

SAMPLES = ((448, 448), (640, 320))
"""Width and height of the sample pictures, in pixels."""

TITLES = {
    "L": "language model",
    "V": "vision tower",
    "X": "cross attention",
    "E": "text encoder",
    "C": "connector",
}


def show(name: str, trust_remote_code: bool = False) -> list[str]:
    """Lines about the model `name` (what `load_vlm` takes) or the family `name`. Raises `HeadAtlasError` as these do."""
    if name in MODEL_TYPES:
        model = default_model(name)
        lines = [f"{name} ({type(model).__name__}): the class's default sizes, no weights", *describe(model)]
        return [*lines, *_family_pictures(name, bool(find_heads(model).tower("X")))]
    from headatlas.vlm import load_vlm

    vlm = load_vlm(name, trust_remote_code=trust_remote_code)
    lines = [f"{name} ({type(vlm.model).__name__}), {vlm.dtype}, {vlm.device}", *describe(vlm.model)]
    return [*lines, *_pictures(vlm), *_supported(vlm)]


def _pictures(vlm: "VLM") -> list[str]:
    """Lines about image tokens: how they are found, and their number for two sample pictures."""
    from headatlas.vlm import Conversation, Turn, encode

    lines = [f"image tokens: {vlm.picture_path}"]
    for size in SAMPLES:
        chat = Conversation((Image.new("RGB", size),), (Turn("?"),))
        try:
            batch = encode(vlm, [chat], generation_prompt=True)
        except HeadAtlasError as error:
            return [*lines, f"     a sample picture could not be encoded: {error}"]
        width, height = size
        where = (
            f"{int(batch.image_mask.sum())} of them hold the picture" if vlm.image_in_text else "none holds the picture"
        )
        lines.append(f"     a picture of {width} x {height} and one word: {batch.ids.shape[1]} tokens, {where}")
    return lines


def _supported(vlm: "VLM") -> list[str]:
    scopes = [scope for scope in SCOPES if scope != "image" or vlm.image_in_text]
    towers = [tower for tower in TOWERS if vlm.heads.tower(tower)]
    lines = [f"supported: reading and editing heads of {', '.join(towers)}; scopes {', '.join(scopes)}"]
    if len(towers) > 1:
        others = ", ".join(tower for tower in towers if tower not in TEXT_TOWERS)
        lines[0] += f" (of {others}: all)" if others else ""
    template = family_of(vlm.model.config.model_type).chat.template
    if template is not None and vlm.processor.chat_template == template:
        lines.append("     chat template: HeadAtlas's own, as the checkpoint has none")
    return lines


def _family_pictures(name: str, across: bool) -> list[str]:
    """A line about the family's image tokens, as far as they are known without a checkpoint."""
    entry = family_of(name).tiny_processor
    if across:
        return ["image tokens: the picture reaches the text by cross-attention; scope image is refused"]
    if entry is None:
        return ["image tokens: known from the processor only; give a path or a model id"]
    return [
        f"image tokens: in the text, at the tokens {entry.placeholder}; their number depends on its {entry.processor}"
    ]


def default_model(family: str) -> nn.Module:
    """The family with its default configuration, on the meta device. Raises `HeadAtlasError` where the class refuses it."""
    config = CONFIG_MAPPING[family](**family_of(family).tiny_model.config_arguments)
    kind = getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family])
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind._from_config(config)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise HeadAtlasError(
            f"{family} has no usable default configuration ({type(error).__name__}: {text}); give a path or a model id"
        ) from error


def describe(model: nn.Module) -> list[str]:
    """Lines about the heads of `model`, one or more per tower, then what is not addressed."""
    grid = find_heads(model)
    lines: list[str] = []
    for tower in TOWERS:
        sites = grid.tower(tower)
        if sites:
            lines += [f"{tower}  {TITLES[tower]}: {len(sites)} layers, {sum(s.n_heads for s in sites)} heads"]
            lines += [f"     {line}" for line in _layers(model, sites)]
    if grid.skipped:
        lines.append(f"not addressed ({len(grid.skipped)}):")
        lines += [f"     {count} x {reason}" for reason, count in Counter(map(_reason, grid.skipped)).items()]
    return lines


def _layers(model: nn.Module, sites: tuple[Site, ...]) -> list[str]:
    kinds: dict[tuple[Any, ...], list[Site]] = {}
    for site in sites:
        owner = model.get_submodule(site.owner)
        kind = (site.n_heads, site.d_head, type(owner).__name__, _groups(owner), _kernel(owner), _span(owner))
        kinds.setdefault(kind, []).append(site)
    lines = []
    for (heads, d_head, kind, groups, kernel, span), members in kinds.items():
        shared = f", {groups} query heads to a key head" if groups > 1 else ""
        numbers = _ranges([site.layer for site in members])
        sizes = f"{sites[0].tower}{numbers}: {heads} heads x {d_head}{shared}"
        lines.append(f"{sizes}, {kind}{span}, kernel {kernel}, W_O {members[0].name}")
    return lines


def _groups(owner: nn.Module) -> int:
    groups = getattr(owner, "num_key_value_groups", 1)
    return groups if isinstance(groups, int) else 1


def _kernel(owner: nn.Module) -> str:
    return getattr(getattr(owner, "config", None), "_attn_implementation", None) or "eager"


def _span(owner: nn.Module) -> str:
    window = getattr(owner, "sliding_window", None)
    return f", sliding window {window}" if isinstance(window, int) else ""


def _ranges(numbers: list[int]) -> str:
    """`0-3,7` for 0, 1, 2, 3, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _reason(skipped: str) -> str:
    """The reason without the layer's number, so that equal ones are listed once."""
    return ".".join("*" if part.isdigit() else part for part in skipped.split("."))
