"""`VLM`: a vision-language model that answers questions, and whose heads can be read and edited."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import nn

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Heads
from headatlas.pictures import open_picture
from headatlas.vlm.attention import AttentionMap, attention_map
from headatlas.vlm.chat import Conversation, Turn
from headatlas.vlm.editable import EditableModel
from headatlas.vlm.generate import generate
from headatlas.vlm.read import read

if TYPE_CHECKING:
    from headatlas.vlm.recipe import HeadRecipe

TOWER_NAMES = {
    "L": "language model",
    "V": "vision tower",
    "X": "cross-attention",
    "E": "text encoder",
    "C": "connector",
}

Picture = Image.Image | str | Path | np.ndarray | None


class VLM(EditableModel):
    """A vision-language model that answers questions, and whose heads can be read and edited. Made by `load_vlm`.

    Adapters, tokenizer, device and generation settings may change after loading: they are looked up at every use.

    Args:
        name: its name in messages; other processes load it again by this name.
        model: the Hugging Face model; of a compiled one the module inside is taken.
        processor: its processor, with tokenizer and image processor.
        fingerprint: a fixed one to return instead of the computed one.

    Attributes:
        processor: the Hugging Face processor.
        resumes: whether generation continues correctly from cached prompts; None until it has been tested.
        branches: whether single answers are computed correctly behind a recorded pass; None until it has been tested.
        loaded_with: arguments of `load_vlm` that were given, other than name and device, so that another process can load the
            same.
        pixels: cache of the image processor's outputs.

    Raises:
        HeadAtlasError: an encoder-decoder, a model in DataParallel, or one whose heads cannot be addressed.
    """

    def __init__(self, name: str, model: nn.Module, processor: Any, fingerprint: str | None = None) -> None:
        self._recipe: ExitStack | None = None
        self._recipe_key = ""
        super().__init__(name, model, processor, fingerprint)

    def __str__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        lines = [
            f"VLM {self.name}",
            f"{self.family}, {millions:,.0f} M parameters, {str(self.dtype).removeprefix('torch.')}, {self.device}",
            *(f"{TOWER_NAMES[line[0]]} ({line[0]}): {line[2:]}" for line in self.heads.describe()),
        ]
        if self.heads.skipped:
            lines.append(f"not addressed: {len(self.heads.skipped)} modules, see .heads.skipped")
        if self._edits:
            lines.append(f"edited: {len(self._edits)} open edits")
        return "\n  ".join(lines)

    @property
    def identity(self) -> dict[str, str]:
        """As `EditableModel.identity`, with the head recipe of `keep_recipe`."""
        parts = super().identity
        return parts | {"recipe": self._recipe_key} if self._recipe_key else parts

    def keep_recipe(self, recipe: HeadRecipe) -> None:
        """Apply a head recipe from now on, as if it were part of the model; `drop_recipe` removes it.

        Raises:
            HeadAtlasError: the recipe is of another model, or another recipe is applied already.
        """
        if self._recipe is not None:
            raise HeadAtlasError("the model has a recipe already: call drop_recipe() first")
        with ExitStack() as stack:
            stack.enter_context(recipe.applied(self))
            self._recipe, self._recipe_key = stack.pop_all(), recipe.fingerprint

    def drop_recipe(self) -> None:
        """Remove the recipe of `keep_recipe`, if there is one."""
        if self._recipe is not None:
            self._recipe.close()
        self._recipe, self._recipe_key = None, ""

    def answer(self, image: Picture, text: str, max_new_tokens: int = 16) -> str:
        """The model's greedy answer to a picture and a text, under the active edits.

        Args:
            image: a PIL image, the path of one, or a uint8 array [height, width, 3] in RGB; None for no picture.
            text: the user's message.
            max_new_tokens: most tokens of the answer.

        Raises:
            HeadAtlasError: the picture cannot be read, or the processor refuses it.
        """
        return generate(self, [Conversation(_images(image), (Turn(text),))], max_new_tokens)[0]

    def logprob(self, image: Picture, text: str, answer: str) -> float:
        """Log-probability of `answer` (nats, at most 0), including its end of turn, given a picture and a text.

        Args:
            image: as for `answer`.
            text: the user's message.
            answer: the model's answer; must not be empty.

        Raises:
            HeadAtlasError: an empty answer, or a picture that cannot be read.
        """
        if not answer.strip():
            raise HeadAtlasError("answer must be a text, got an empty one")
        return read(self, [Conversation(_images(image), (Turn(text, answer),))])[0][0].logprob

    def attention(
        self,
        image: Picture,
        text: str,
        heads: Heads | None = None,
        queries: str | Sequence[int] = "predict",
        answer: str | None = None,
    ) -> AttentionMap:
        """Attention of heads while the model reads one image and a text, under the active edits; its own kernels stay in use.

        Args:
            image: as for `answer`.
            text: the user's words.
            heads: heads of one tower; by default all of the language model's. Keys of cross-attention (X) are positions of the
                picture; heads of vision towers and connectors are read at all positions of the picture.
            queries: `"predict"` (the position that predicts the answer's first token, and, with `answer`, those that predict
                its further ones), `"all"`, or positions of tokens.
            answer: an answer that the model is given, token by token; without it the prompt alone is read.
        """
        return attention_map(self, Conversation(_images(image), (Turn(text, answer),)), heads, queries)


def _images(image: Picture) -> tuple[Image.Image, ...]:
    return () if image is None else (open_picture(image),)


__getattr__ = old_names(__name__)
