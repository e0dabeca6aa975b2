"""Make inputs for a small model: token ids with the right number of image tokens, and the family's image inputs.

The picture goes through the family's own image processor class where there is one, with sizes taken from the configuration.
The number of image tokens is that of the model's own image features. Other arguments of the forward pass (token types, masks,
the decoder's tokens, boxes) are filled in by their names. What no rule can know is in the family's entry (`TinyModel`).
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)

from headatlas.errors import HeadAtlasError
from headatlas.families.family import TinyModel, counts_positions
from headatlas.proof.shrink import FIRST_SPECIAL, PLAIN

Inputs = dict[str, Any]

LENGTHS = (9, 6)
"""Number of plain tokens of each of the two rows."""
IMAGE_AT = 3
"""Number of plain tokens before the image."""


class InputMaker:
    """Makes the same two rows every time: one by one or as a batch, padded on either side, with or without an image each.

    `with_images` raises `HeadAtlasError` with the reason where the family's image inputs cannot be made.
    """

    def __init__(self, model: PreTrainedModel, family: str, tiny: TinyModel, seed: int = 0) -> None:
        self.model = model
        self.family = family
        self.tiny = tiny
        self.accepts = set(inspect.signature(model.forward).parameters)
        self.encoder_decoder = "decoder_input_ids" in self.accepts and bool(
            model.config.is_encoder_decoder or model.config.get_text_config().is_encoder_decoder
        )
        rng = np.random.default_rng(seed)
        self._rows = [rng.integers(*PLAIN, size=n).tolist() for n in LENGTHS]
        self._seed = seed
        self.takes_positions = not counts_positions(model) and "position_ids" in self.accepts
        self._image_tokens: list[int] | None = None
        self.images = False
        self._own: Inputs = {}

    def with_images(self) -> "InputMaker":
        """Put an image into every row from now on."""
        pixels = self.pixels([0])
        self._image_tokens = self._expand(pixels)
        self.images = True
        return self

    def __call__(self, rows: Sequence[int] = (0, 1), side: str | None = None, pad: int = 0) -> Inputs:
        """Inputs of `rows`; rows of different length need a `side` ("left" or "right") to be padded on with token `pad`."""
        ids = [self._tokens(row) for row in rows]
        length = max(map(len, ids))
        if side is None and any(len(row) != length for row in ids):
            raise HeadAtlasError("rows of different length must be padded; name a side")
        tokens = torch.full((len(ids), length), pad)
        mask = torch.zeros_like(tokens)
        for row, (filled, seen) in enumerate(zip(tokens, mask, strict=True)):
            span = slice(length - len(ids[row]), length) if side == "left" else slice(len(ids[row]))
            filled[span], seen[span] = torch.tensor(ids[row]), 1
        inputs: Inputs = {"input_ids": tokens, "attention_mask": mask}
        self._own = {}
        if self.images:
            self._own = self.pixels(rows)
            inputs |= self._own
        inputs = self._extras(inputs)
        if not self.pads_text:  # the encoder reads only pictures, so the tokens are the decoder's
            inputs = {k: v for k, v in inputs.items() if k not in ("input_ids", "attention_mask") or k in self._own}
        return inputs

    @property
    def pads_text(self) -> bool:
        """Whether rows can have different lengths; False for an encoder-decoder that reads only pictures."""
        return not self.encoder_decoder or self.model.get_encoder().main_input_name == "input_ids"  # pyright: ignore[reportAttributeAccessIssue]

    def lengths(self, rows: Sequence[int] = (0, 1)) -> list[int]:
        """Number of tokens of each row."""
        return [len(self._tokens(row)) for row in rows]

    def _tokens(self, row: int) -> list[int]:
        plain = self._rows[row]
        if self._image_tokens is None:
            return plain
        return plain[:IMAGE_AT] + self._image_tokens + plain[IMAGE_AT:]

    def _extras(self, inputs: Inputs) -> Inputs:
        for name, make in EXTRAS.items():
            if name in self.accepts and name not in inputs:
                value = make(self, inputs)
                if value is not None:
                    inputs[name] = value
        return inputs

    @property
    def special_tokens(self) -> list[int]:
        """Ids that must not be generated: a random model could ask for another image by chance."""
        vocabulary = self.model.config.get_text_config().vocab_size
        return [*range(FIRST_SPECIAL, vocabulary), *([self.image_token] if self.image_token in range(*PLAIN) else [])]  # pyright: ignore[reportReturnType]

    @property
    def image_token(self) -> int | None:
        """The id of the image token."""
        if self.tiny.image_token is not None:
            return self.tiny.image_token
        for config in (self.model.config, self.model.config.get_text_config()):
            for name in ("image_token_id", "image_token_index", "image_patch_id"):
                value = getattr(config, name, None)
                if isinstance(value, int):
                    return value
        return None

    # ---------------------------------------------------------------- pictures

    def picture(self, row: int) -> Image.Image:
        """The picture of one row: noise, the same every time."""
        width, height = self.tiny.picture_size
        rng = np.random.default_rng((self._seed, row))
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))

    def pixels(self, rows: Sequence[int]) -> Inputs:
        """The image inputs of `rows`, as the family's forward takes them, floating ones in the model's dtype."""
        pictures = [self.picture(row) for row in rows]
        inputs = self._declared(rows) if self.tiny.pixels else self._processed(pictures)
        dtype = self.model.dtype
        return {k: v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in inputs.items()}

    def _declared(self, rows: Sequence[int]) -> Inputs:
        image_inputs: Inputs = {}
        for name, shape in self.tiny.pixels.items():
            if callable(shape):
                image_inputs[name] = shape(len(rows))
                continue
            each = [torch.randn(*shape, generator=torch.Generator().manual_seed(7 + row)) for row in rows]
            image_inputs[name] = torch.stack(each)
        return image_inputs

    def _processed(self, pictures: list[Image.Image]) -> Inputs:
        name = self.tiny.image_processor or _processor_name(self.family, self.model.config)
        if name is None:
            raise HeadAtlasError("transformers names no image processor for this family")
        kind: Any = get_image_processor_class_from_name(name)
        settings = {**_sizes_for(kind, self.model.config), **self.tiny.image_settings}
        processor: Any = kind(**settings)
        images: Any = [[picture] for picture in pictures] if self.tiny.nested_images else pictures
        inputs = processor(images=images, return_tensors="pt")
        inputs = inputs if hasattr(inputs, "items") else {"pixel_values": inputs}
        # A processor's mask over patches is not the mask over the text's tokens.
        own = self.pads_text
        return {k: v for k, v in inputs.items() if k in self.accepts and not (own and k == "attention_mask")}

    def _expand(self, pixels: Inputs) -> list[int]:
        """The image tokens of a row's text."""
        token = self.image_token
        declared = self.tiny.n_image_tokens
        n = self._count_features(pixels) if declared is None else declared
        if n and token is None:
            raise HeadAtlasError("the configuration names no image token")
        other, times = self.tiny.extra_tokens or (0, 0)
        middle = [token] * n + [other] * times
        start, end = (getattr(self.model.config, f"{name}_token_id", None) for name in ("vision_start", "vision_end"))
        return [start, *middle, end] if isinstance(start, int) and isinstance(end, int) else middle  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def _count_features(self, pixels: Inputs) -> int:
        """The number of image tokens of one picture, from the size of the model's own image features."""
        if not hasattr(self.model, "get_image_features"):
            inner = getattr(self.model, "model", None)
            if not hasattr(inner, "get_image_features"):
                raise HeadAtlasError("the model has no get_image_features to count image tokens by")
            owner: Any = inner
        else:
            owner = self.model
        wanted = inspect.signature(owner.get_image_features).parameters
        loose = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
        given = pixels | self._feature_extras(wanted)
        out = owner.get_image_features(**{k: v for k, v in given.items() if k in wanted or loose})
        pooled = getattr(out, "pooler_output", None)
        features = getattr(out, "last_hidden_state", out) if pooled is None else pooled
        embeddings: Any = self.model.get_input_embeddings()
        width = embeddings.weight.shape[-1]
        return _total(features) // width

    def _feature_extras(self, wanted: Any) -> Inputs:
        one = {"input_ids": torch.tensor([[PLAIN[0]]]), "attention_mask": torch.tensor([[1]])}
        return {name: EXTRAS[name](self, one) for name in wanted if name.startswith("qformer")}


def _total(features: Any) -> int:
    if isinstance(features, Tensor):
        return features.numel()
    return sum(_total(part) for part in features)


def _processor_name(family: str, config: Any) -> str | None:
    vision = getattr(config, "vision_config", None)
    for kind in (family, config.model_type, getattr(vision, "model_type", "")):
        names = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind)
        if names:
            return names.get("torchvision") or next(iter(names.values()))
    return None


def _sizes_for(kind: type, config: Any) -> dict[str, Any]:
    """Settings of an image processor that fit the tiny vision tower."""
    vision = getattr(config, "vision_config", None) or config
    patch = next(
        (v for n in ("patch_size", "spatial_patch_size") if isinstance(v := getattr(vision, n, None), int)), None
    )
    merge = getattr(vision, "spatial_merge_size", None) or getattr(config, "spatial_merge_size", None) or 1
    side = getattr(vision, "image_size", None)
    side = side if isinstance(side, int) else 4 * (patch or 14)
    settings: dict[str, Any] = {}
    default = getattr(kind, "size", None) or {}
    if "shortest_edge" in default and "longest_edge" in default:  # of the Qwen kind: numbers of pixels
        settings["size"] = {"shortest_edge": 4 * (patch or 14) ** 2, "longest_edge": 64 * (patch or 14) ** 2}
    elif default:
        settings["size"] = dict.fromkeys(default, side)
    if getattr(kind, "crop_size", None):
        settings["crop_size"] = {"height": side, "width": side}
    if patch is not None and hasattr(kind, "patch_size"):
        default_patch = kind.patch_size  # pyright: ignore[reportAttributeAccessIssue]
        settings["patch_size"] = {"height": patch, "width": patch} if isinstance(default_patch, dict) else patch
    if hasattr(kind, "merge_size"):
        settings["merge_size"] = merge
    if isinstance(depth := getattr(vision, "temporal_patch_size", None), int) and hasattr(kind, "temporal_patch_size"):
        settings["temporal_patch_size"] = depth
    return settings


# Further arguments of the forward pass by name, each computed from the inputs so far.


def _image_positions(maker: InputMaker, inputs: Inputs) -> Tensor:
    return inputs["input_ids"] == (maker.image_token if maker.image_token is not None else -1)


def _image_types(maker: InputMaker, inputs: Inputs) -> Tensor:
    return _image_positions(maker, inputs).int()


def _decoder_ids(maker: InputMaker, inputs: Inputs) -> Tensor | None:
    if not maker.encoder_decoder:
        return None
    rows = _n_rows(inputs)
    return torch.arange(PLAIN[0], PLAIN[0] + 4).repeat(rows, 1)


def _n_rows(inputs: Inputs) -> int:
    return inputs["input_ids"].shape[0]


def _tile_mask(maker: InputMaker, inputs: Inputs) -> Tensor | None:
    """A mask by which the picture fills only the first tile."""
    if not maker.images:
        return None
    mask = torch.zeros(*inputs["input_ids"].shape, 1, inputs["pixel_values"].shape[2], dtype=torch.long)
    mask[..., 0] = 1
    return mask


EXTRAS: dict[str, Callable[[InputMaker, Inputs], Any]] = {
    "mm_token_type_ids": _image_types,
    "moe_mm_token_type_ids": _image_types,
    "token_type_ids": _image_types,
    "image_embeds_position_mask": lambda m, i: _image_positions(m, i) if m.images else None,
    "decoder_input_ids": _decoder_ids,
    "qformer_input_ids": lambda m, i: torch.arange(30, 34).repeat(_n_rows(i), 1),
    "qformer_attention_mask": lambda m, i: torch.ones(_n_rows(i), 4, dtype=torch.long),
    "bbox": lambda m, i: torch.tensor([10, 20, 300, 400]).repeat(*i["input_ids"].shape, 1) / 1000,
    "cross_attention_mask": _tile_mask,
    "image_attention_mask": lambda m, i: torch.ones(*i["input_ids"].shape, 1, dtype=torch.long),
    "protein_input_ids": lambda m, i: torch.arange(5, 13).repeat(_n_rows(i), 1),
    "protein_attention_mask": lambda m, i: torch.ones(_n_rows(i), 8, dtype=torch.long),
}
