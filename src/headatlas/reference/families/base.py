"""`Family`: what the training needs to know about a model family.

A family is one small file in this folder: sizes, chat form, processor, model, and the paths of its parts. Everything else (pool,
batches, losses, stages, card) is the same for all families.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from headatlas.cogvsr.schema import Question
from headatlas.reference.build import Shape, build_tokenizer, greedy, save, token_id
from headatlas.reference.form import Form
from headatlas.reference.patches import PatchHeads
from headatlas.reference.tokens import Encoder, Row, scene_words

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
    minutes: ClassVar[float] = 80.0
    """Duration of the family's whole recipe on two idle cores with AMX (bfloat16 matrix units), about, without rendering."""
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

    base: ClassVar[str | None] = None
    """The pretrained language model that the family needs (`headatlas reference get`); None: all weights start at random."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the family's tokenizer, by default one with one token for each word of the scenes."""
        return build_tokenizer(scene_words(), self.form)

    def encoder(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> Encoder:
        """Return what turns conversations into training rows."""
        return Encoder(tokenizer, self.form, shape.image_tokens)

    def reword(self, question: Question, rng: random.Random) -> Question:
        """Return a training question in the words in which it is learned, by default its own."""
        del rng
        return question

    def more_rows(self, encoder: Encoder, folder: Path) -> dict[str, list[Row]]:
        """Return training rows of further kinds, which belong to no scene; `folder` keeps what they are made of."""
        del encoder, folder
        return {}

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

    def patch_heads(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> nn.Module:
        """Return the loss of stage 1 as a module: of projected patches [B, P, E] and their labels, with what it measures."""
        del model, tokenizer
        return PatchHeads(shape.width)

    def seeing_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return what stage 1 trains, by default vision tower and projector."""
        return self.vision_parameters(model)

    def language_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return what stages 2 to 4 train at the full rate, by default the language model."""
        return list(self.language_model(model).parameters())

    def state(self, model: PreTrainedModel) -> dict[str, Tensor] | None:
        """Return the tensors that a checkpoint keeps; None: all of them."""
        del model
        return None

    def special_loss(
        self,
        model: PreTrainedModel,
        kind: str,
        states: Float[Tensor, "B T E"],
        weights: Float[Tensor, "B T"],
        again: Callable[[], Tensor],
    ) -> Tensor | None:
        """Return the loss of a batch of a kind that only this family has; None for all other kinds.

        `again` computes the last hidden states once more; `weights` are on the CPU.
        """
        del model, kind, states, weights, again
        return None

    def export(self, model: PreTrainedModel, processor: ProcessorMixin, folder: Path) -> None:
        """Write what ships, by default a model folder of `transformers`."""
        save(model, processor, folder)

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        """Return the language model without its output layer."""
        return model.get_submodule(self.language)

    def vision_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return what stages 3 and 4 train at a share of the rate, by default vision tower and projector."""
        return [parameter for path in self.vision for parameter in model.get_submodule(path).parameters()]

    def last_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters in which the projected patches are linear."""
        return [model.get_parameter(path) for path in self.last]
