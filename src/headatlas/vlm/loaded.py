"""`LoadedModel`: a Hugging Face model, its processor and its heads, as they are now."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.families import counts_positions, family_of
from headatlas.heads import HeadGrid, find_heads
from headatlas.vlm import identity
from headatlas.vlm.encodings import EncodingMemo
from headatlas.vlm.pixels import PixelCache, cache_bytes
from headatlas.vlm.special_tokens import end_tokens, image_ids
from headatlas.vlm.vision import VisionMemo


class LoadedModel:
    """A Hugging Face model with its processor and its heads.

    Adapters, tokenizer, device and generation settings may change after loading: they are looked up at every use. Arguments,
    attributes and errors: see `VLM`.
    """

    def __init__(self, name: str, model: nn.Module, processor: Any, fingerprint: str | None = None) -> None:
        self.name = name
        self.processor = processor
        self.loaded_with: dict[str, Any] = {}
        self.resumes: bool | None = None
        self.branches: bool | None = None
        self._fixed_fingerprint = fingerprint
        self._ends: tuple[Any, tuple[tuple[str, ...], frozenset[int]]] | None = None
        self.model = model
        self.pixels = PixelCache(cache_bytes(self.model, 25))

    def __repr__(self) -> str:
        layers, heads = self.heads.shape
        return f"VLM({self.name!r}, {self.family}, {layers} layers x {heads} heads, {self.dtype}, {self.device})"

    @cached_property
    def vision(self) -> VisionMemo:
        """Cache of the vision tower's output for each picture, in use within `vlm.vision.installed()`."""
        return VisionMemo(self)

    @cached_property
    def encodings(self) -> EncodingMemo:
        """Cache of batches, in use within `reading_again()`."""
        return EncodingMemo(cache_bytes(self.model, 50, 64 << 20))

    @contextmanager
    def reading_again(self) -> Iterator[None]:
        """Within the context, for work that reads the same conversations many times, every batch is encoded once and every
        picture seen once by the vision tower; the model must not be changed other than by edits."""
        with self.encodings.installed(self.model, self.processor), self.vision.installed():
            yield

    @property
    def model(self) -> Any:
        """The Hugging Face model. Assign another one to use it from now on, such as the same model with adapters."""
        return self._model

    @model.setter
    def model(self, model: nn.Module) -> None:
        plain: Any = getattr(model, "_orig_mod", model)  # torch.compile(model) is a wrapper
        if isinstance(plain, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise HeadAtlasError(
                f"a model must not be in {type(plain).__name__}, whose replicas cannot be read or edited; pass model.module, "
                "and use workers for several devices"
            )
        self._model, self._heads = plain, _heads_of(plain)
        self.resumes = self.branches = None

    @property
    def heads(self) -> HeadGrid:
        """The heads of the model as it is now."""
        if not self._heads.is_current(self._model):
            self._heads = _heads_of(self._model)
        return self._heads

    @property
    def family(self) -> str:
        """Name of the model's class, without the common suffix."""
        model = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        return type(model).__name__.removesuffix("ForConditionalGeneration")

    @property
    def device(self) -> torch.device:
        """Where the input embeddings are."""
        return _device(self._model.get_input_embeddings())

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the input embeddings."""
        return self._model.get_input_embeddings().weight.dtype

    @property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end a turn."""
        return self._end_tokens()[1]

    @property
    def end_tokens(self) -> tuple[str, ...]:
        """The tokens that end a turn, as text, the longest first."""
        return self._end_tokens()[0]

    @property
    def image_ids(self) -> tuple[int, ...]:
        """Ids of the tokens at the picture's positions; empty if there are none."""
        return image_ids(self._model.config, self.processor)

    @property
    def image_in_text(self) -> bool:
        """False if the picture does not occupy positions in the text, but reaches it by cross-attention or before it."""
        return bool(self.image_ids) and not self.heads.tower("X")

    @property
    def chat_format(self) -> Any:
        """How the family's conversations are written (`families.ChatFormat`)."""
        return family_of(self._model.config.model_type).chat

    @property
    def takes_position_ids(self) -> bool:
        """Whether the model must be given positions if rows are padded on the left."""
        model = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        return not counts_positions(model) and "position_ids" in inspect.signature(model.forward).parameters

    def _end_tokens(self) -> tuple[tuple[str, ...], frozenset[int]]:
        generation = getattr(getattr(self._model, "generation_config", None), "eos_token_id", None)
        key = (str(generation), self.tokenizer.eos_token_id, len(self.tokenizer), id(self.tokenizer))
        if self._ends is None or self._ends[0] != key:
            self._ends = key, end_tokens(self._model, self.tokenizer)
        return self._ends[1]

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def identity(self) -> dict[str, str]:
        """Everything on which this model's answers depend, by name: weights, adapters, tokenizer, chat template, the date it
        writes, picture sizes and so on. Computed at every call; `identity.differences` compares two of them."""
        return identity.identity(self.model, self.processor)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of `identity`, for cache keys; or the `fingerprint` given to the constructor."""
        return self._fixed_fingerprint or identity.fingerprint(self.identity)

    @property
    def picture_path(self) -> str:
        """How the picture reaches the text, in words."""
        if self.image_in_text:
            tokens = ", ".join(map(str, self.tokenizer.convert_ids_to_tokens(list(self.image_ids))))
            return f"the picture is in the text, at the tokens {tokens}"
        if self.heads.tower("X"):
            return "the picture reaches the text by cross-attention, and no position of the text holds it"
        return "no token of the text stands for the picture"


def _require_plain_prompts(model: Any) -> None:
    """Refuse PEFT's learned prompts and prefixes: they shift every position of a conversation."""
    configs = getattr(model, "peft_config", None)
    for name, config in configs.items() if isinstance(configs, dict) else ():
        if getattr(config, "is_prompt_learning", False):
            kind = str(getattr(config.peft_type, "value", config.peft_type))
            raise HeadAtlasError(
                f"a model must have no learned prompt, got adapter {name!r} of {kind}: its virtual tokens shift the positions "
                "of picture and words; use an adapter of weights, such as LoRA, or model.get_base_model()"
            )


def _heads_of(model: Any) -> HeadGrid:
    """The heads of a model that can be used in conversations."""
    _require_plain_prompts(model)
    heads = find_heads(model)
    if heads.tower("E") or getattr(model.config, "is_encoder_decoder", False):
        raise HeadAtlasError(
            f"{type(model).__name__} is an encoder-decoder, and conversations need a language model that is a decoder alone; "
            "use find_heads, ZReader and edit_heads on the model itself"
        )
    return heads


def _device(module: Any) -> torch.device:
    """The device on which a module computes; for offloaded weights that of accelerate's hook."""
    if not module.weight.is_meta:
        return module.weight.device
    return torch.device(getattr(getattr(module, "_hf_hook", None), "execution_device", None) or "cpu")
