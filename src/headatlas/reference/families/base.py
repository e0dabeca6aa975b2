"""`Family`: what the training needs to know about a model family.

A family is one small file in this folder: sizes, chat form, processor, model, and the paths of its parts. Everything else (pool,
batches, losses, stages, card) is the same for all families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from headatlas.reference.build import Shape, greedy, token_id
from headatlas.reference.form import Form

SHORTER: Mapping[str, Any] = {"steps": (1500, 1500, 3500, 5000), "horizons": (1500, 1500, 6000, 5000)}
"""Settings of the reference VLMs other than ref-llava: a last stage of 5,000 steps, which saves a quarter of the time."""


class Family(ABC):
    """One architecture of transformers. The default attributes are those of LLaVA's modules."""

    name: ClassVar[str]
    """What `--family` takes: the model type in `transformers`."""
    shipped: ClassVar[str]
    """The name of the reference VLM of this family."""
    form: ClassVar[Form]
    shape: ClassVar[Shape]
    settings: ClassVar[Mapping[str, Any]] = {}
    """Fields of the recipe that differ from ref-llava's."""
    model_class: ClassVar[type[PreTrainedModel]]
    tower: ClassVar[str]
    """The vision tower, as the model card describes it."""
    decoder: ClassVar[str]
    """The language model, as the model card describes it."""

    language: ClassVar[str] = "model.language_model"
    """Path of the language model without its output layer."""
    vision: ClassVar[tuple[str, ...]] = ("model.vision_tower", "model.multi_modal_projector")
    """Paths of the modules that turn pixels into image tokens."""
    last: ClassVar[tuple[str, ...]] = tuple(f"model.multi_modal_projector.linear_2.{p}" for p in ("weight", "bias"))
    """Paths of the parameters in which the projected patches are linear: scaling them scales the patches."""

    @abstractmethod
    def processor(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> ProcessorMixin:
        """Return the family's own processor, with its own image processor and this family's chat template."""

    @abstractmethod
    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return the family's configuration; `vocabulary` is the number of tokens, `end` and `pad` are token ids."""

    def model(self, tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> PreTrainedModel:
        """Return a model with new float32 weights that depend on `seed` only."""
        pad, end = (token_id(tokenizer, token) for token in (self.form.pad, self.form.end))
        config = self.config(shape, len(tokenizer), end, pad, tokenizer)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.model_class(config)
            self.begin(model)
        model.generation_config = greedy(end, pad)
        return model

    def begin(self, model: PreTrainedModel) -> None:
        """Change initial weights that do not suit training from scratch; by default none."""
        del model

    def inputs(self, pixels: Float[Tensor, "B 3 S S"], shape: Shape) -> dict[str, Tensor]:
        """Return the model's image inputs for one normalized picture per row, in the processor's layout."""
        del shape
        return {"pixel_values": pixels}

    def context(
        self, model: PreTrainedModel, ids: Int64[Tensor, "B T"], at: int | None, shape: Shape
    ) -> dict[str, Any]:
        """Return the language model's arguments besides embeddings: positions or masks that differ from its defaults.

        `at` is the first image token of every row, None without a picture. Rows are padded on the right.
        """
        del model, ids, at, shape
        return {}

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        """Return the language model without its output layer."""
        return model.get_submodule(self.language)

    def vision_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters of vision tower and projector."""
        return [parameter for path in self.vision for parameter in model.get_submodule(path).parameters()]

    def last_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters in which the projected patches are linear."""
        return [model.get_parameter(path) for path in self.last]
