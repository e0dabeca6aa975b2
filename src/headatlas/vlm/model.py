"""`VLM`: a model, its processor, its heads, and the edits that are active on it.

Edits are hooks of `headatlas.heads`. For every batch, the VLM tells them the image, prompt and answer positions, and to which
of the caller's rows the batch's rows belong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError
from headatlas.families import counts_positions, family_of
from headatlas.heads import AttentionEdit, Edit, HeadGrid, edit_heads, find_heads, uncompiled
from headatlas.heads.scope import check_scope
from headatlas.pictures import open_picture
from headatlas.vlm import identity
from headatlas.vlm.chat import Conversation, Turn
from headatlas.vlm.generate import generate
from headatlas.vlm.image_tokens import needs_place, placed_edits
from headatlas.vlm.pixels import PixelCache, cache_bytes
from headatlas.vlm.prefix import forget_positions
from headatlas.vlm.read import read
from headatlas.vlm.special_tokens import end_tokens, image_ids
from headatlas.vlm.vision import VisionMemo

if TYPE_CHECKING:
    from headatlas.heads.address import Heads
    from headatlas.vlm.attention import AttentionMap
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.recipe import HeadRecipe

Edits = tuple[Edit | AttentionEdit, ...]

AroundBatch = Callable[["Batch", Sequence[int]], AbstractContextManager[Any]]
"""What is entered around every forward of a batch, given the batch and the index of each of its rows in the caller's list."""

TOWER_NAMES = {
    "L": "language model",
    "V": "vision tower",
    "X": "cross-attention",
    "E": "text encoder",
    "C": "connector",
}


Picture = Image.Image | str | Path | np.ndarray | None


@dataclass(frozen=True)
class _Active:
    edits: Edits
    rows: tuple[Edits, ...] | None
    scope: str
    deferred: bool
    """True if the hooks are set batch by batch, because positions or rows are needed."""
    around: AroundBatch | None = None
    """Entered around every batch instead of `edits`."""
    key: str = ""
    """What decides the effect of `around`."""


class VLM:
    """A vision-language model ready to be asked, read and edited. Made by `load_vlm`.

    What can change after loading (adapters, tokenizer, device, generation settings) is looked up at every use.

    Args:
        name: what messages call it, and what it is loaded by again.
        model: the Hugging Face model; of a compiled one the module inside is taken.
        processor: its processor, with tokenizer and image processor.
        fingerprint: a fixed one to return instead of the computed one.

    Attributes:
        processor: the Hugging Face processor.
        resumes: whether generation goes on from cached prompts correctly; None until it has been tested.
        loaded_with: arguments of `load_vlm` other than name, device and dtype, so that another process can load the same.
        pixels: cache of what the image processor made.

    Raises:
        HeadAtlasError: an encoder-decoder, a model in DataParallel, or one whose heads cannot be addressed.
    """

    def __init__(self, name: str, model: nn.Module, processor: Any, fingerprint: str | None = None) -> None:
        self.name = name
        self.processor = processor
        self.loaded_with: dict[str, Any] = {}
        self.resumes: bool | None = None
        self._fixed_fingerprint = fingerprint
        self._ends: tuple[Any, tuple[tuple[str, ...], frozenset[int]]] | None = None
        self._active: list[_Active] = []
        self._within_batch = False
        self._deciding = False
        self._recipe: ExitStack | None = None
        self._recipe_key = ""
        self.model = model
        self.pixels = PixelCache(cache_bytes(self.model, 25))

    def __repr__(self) -> str:
        layers, heads = self.heads.shape
        return f"VLM({self.name!r}, {self.family}, {layers} layers x {heads} heads, {self.dtype}, {self.device})"

    def __str__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        lines = [
            f"VLM {self.name}",
            f"{self.family}, {millions:,.0f} M parameters, {str(self.dtype).removeprefix('torch.')}, {self.device}",
            *(f"{TOWER_NAMES[line[0]]} ({line[0]}): {line[2:]}" for line in self.heads.describe()),
        ]
        if self.heads.skipped:
            lines.append(f"not addressed: {len(self.heads.skipped)} modules, see .heads.skipped")
        if self._active:
            lines.append(f"edited: {len(self._active)} open edits")
        return "\n  ".join(lines)

    @cached_property
    def vision(self) -> VisionMemo:
        """Cache of what the vision tower makes of each picture, in use within `vlm.vision.installed()`."""
        return VisionMemo(self)

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
        self._model, self._heads = plain, _found(plain)
        self.resumes = None

    @property
    def heads(self) -> HeadGrid:
        """The heads of the model as it is now."""
        if not self._heads.is_current(self._model):
            self._heads = _found(self._model)
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
        """Whether the model must be given positions where rows are padded on the left."""
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
        """What decides this model's answers, now: weights, adapters, tokenizer, chat template, the date it writes, picture
        sizes and so on, by name. Computed at every call; `identity.differences` compares two of them."""
        parts = identity.identity(self.model, self.processor)
        return parts | {"recipe": self._recipe_key} if self._recipe_key else parts

    def keep_recipe(self, recipe: HeadRecipe) -> None:
        """Answer with a recipe from now on, as if it were part of the model; `drop_recipe` takes it away.

        Raises:
            HeadAtlasError: the recipe is of another model, or one is in force already.
        """
        if self._recipe is not None:
            raise HeadAtlasError("the model has a recipe already: call drop_recipe() first")
        with ExitStack() as stack:
            stack.enter_context(recipe.applied(self))
            self._recipe, self._recipe_key = stack.pop_all(), recipe.fingerprint

    def drop_recipe(self) -> None:
        """Take the kept recipe away; nothing if there is none."""
        if self._recipe is not None:
            self._recipe.close()
        self._recipe, self._recipe_key = None, ""

    @property
    def fingerprint(self) -> str:
        """16 hex digits of `identity`, for cache keys; or what the constructor was given instead."""
        return self._fixed_fingerprint or identity.fingerprint(self.identity)

    @contextmanager
    def edit(
        self,
        *edits: Edit | AttentionEdit,
        scope: str = "all",
        rows: Sequence[Sequence[Edit | AttentionEdit]] | None = None,
    ) -> Iterator[VLM]:
        """Within the context, the heads are edited in whatever this VLM reads, generates or captures. Nested edits apply one
        after the other.

        Args:
            edits: applied to every row, in order: of z (`zero`, `mean`, `steer`...) and of attention (`attend`, `block`...);
                keys of the latter may be `"image"`, a `Box` of the first picture, or token positions of each conversation.
            scope: `all` positions, `image`, `prompt`, `answer` (the positions that predict an answer token) or `last`.
            rows: instead of `edits`, one list of edits for each conversation of the next calls.

        Raises:
            HeadAtlasError: unknown scope, both `edits` and `rows`, an edit that did not take place, or a direct call of
                `vlm.model` under an edit that needs a batch's positions or rows.
        """
        if check_scope(scope) == "image" and not self.image_in_text:
            raise HeadAtlasError(
                f"scope 'image' has no meaning for {self.family}: {self.picture_path}; use scope 'all' with heads of "
                f"{'the cross-attention (X) or ' if self.heads.tower('X') else ''}the vision tower (V)"
            )
        if edits and rows is not None:
            raise HeadAtlasError("edits must be for all rows, or in `rows` with one list for each row, got both")
        placed = any(needs_place(edit) for edit in edits)
        by_batch = scope != "all" or placed or rows is not None or any(edit.rows is not None for edit in edits)
        # Hooks act in the order in which they are set, so an edit inside one that waits for its batch must wait too.
        deferred = by_batch or any(active.deferred for active in self._active)
        with ExitStack() as stack:
            if deferred:
                stack.callback(self.model.register_forward_pre_hook(self._guard).remove)
            else:
                stack.enter_context(edit_heads(self.model, self.heads, list(edits)))
            self._active.append(_Active(edits, None if rows is None else tuple(map(tuple, rows)), scope, deferred))
            stack.callback(self._active.pop)
            yield self

    @contextmanager
    def around_batches(self, enter: AroundBatch, key: str, scope: str = "answer") -> Iterator[VLM]:
        """Within the context, `enter(batch, rows)` is entered around everything that is run of a batch.

        For changes that are decided batch by batch, such as those that depend on the model's own confidence or on the
        picture. `enter` may run the model itself (`vlm.model`), under the contexts opened before this one.

        Args:
            enter: called with the batch and the index of each of its rows in the caller's list.
            key: changes whenever the effect could; for markers and cache keys.
            scope: where it acts. With `answer` or `last` no step of a conversation shares what was computed for another.
        """
        with ExitStack() as stack:
            stack.callback(self.model.register_forward_pre_hook(self._guard).remove)
            self._active.append(_Active((), None, check_scope(scope), True, enter, key))
            stack.callback(self._active.pop)
            yield self

    @property
    def picture_path(self) -> str:
        """How the picture reaches the text, in words."""
        if self.image_in_text:
            tokens = ", ".join(map(str, self.tokenizer.convert_ids_to_tokens(list(self.image_ids))))
            return f"the picture is in the text, at the tokens {tokens}"
        if self.heads.tower("X"):
            return "the picture reaches the text by cross-attention, and no position of the text holds it"
        return "no token of the text stands for the picture"

    @property
    def edited(self) -> bool:
        """True within `edit`."""
        return bool(self._active)

    @property
    def edits_key(self) -> tuple[str, ...]:
        """Scope and fingerprints of the active edits, outermost first; for markers and cache keys."""
        return tuple(
            f"{a.scope}:{a.key}" + ",".join(edit.fingerprint for row in (a.rows or (a.edits,)) for edit in row)
            for a in self._active
        )

    @property
    def active_edits(self) -> tuple[tuple[Edits, str], ...]:
        """The active edits for all rows and their scopes, outermost first.

        Raises:
            HeadAtlasError: within `around_batches`, whose changes are not edits that can be written down.
        """
        if any(active.around is not None for active in self._active):
            raise HeadAtlasError("changes made batch by batch must be run in one process: leave the workers out")
        return tuple((active.edits, active.scope) for active in self._active)

    @property
    def by_row(self) -> bool:
        """True if an active edit differs from row to row."""
        return any(a.rows is not None or any(edit.rows is not None for edit in a.edits) for a in self._active)

    @contextmanager
    def running(self, batch: Batch, rows: Sequence[int]) -> Iterator[None]:
        """Put the active edits on the model for one batch, whose rows are the conversations `rows` of the call. A compiled
        model runs uncompiled, because hooks do not act reliably in compiled code."""
        if self._deciding:  # what was opened before is in force already
            forget_positions(self._model)
            yield
            return
        before, self._within_batch = self._within_batch, True
        try:
            forget_positions(self._model)
            with ExitStack() as stack:
                stack.enter_context(uncompiled(self._model))
                waiting = [active for active in self._active if active.deferred]
                if waiting:
                    positions = batch.positions
                    for active in waiting:
                        if active.around is not None:
                            self._deciding = True
                            try:
                                stack.enter_context(active.around(batch, rows))
                            finally:
                                self._deciding = False
                            forget_positions(self._model)
                            continue
                        edits = placed_edits(self, batch, _for_rows(active, rows))
                        stack.enter_context(edit_heads(self.model, self.heads, edits, active.scope, positions))
                yield
        finally:
            self._within_batch = before

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
        """What heads look at while the model reads one image and a text, under the active edits; its own kernels stay in use.

        Args:
            image: as for `answer`.
            text: the user's words.
            heads: heads of the language model; by default all of them.
            queries: `"predict"` (the position that predicts the answer's first token, and, with `answer`, those that predict
                its further ones), `"all"`, or positions of tokens.
            answer: an answer that the model is given, token by token; without it the prompt alone is read.
        """
        from headatlas.vlm.attention import attention_map  # which itself needs `VLM`

        return attention_map(self, Conversation(_images(image), (Turn(text, answer),)), heads, queries)

    def _guard(self, module: nn.Module, args: Any) -> None:
        if not self._within_batch:
            raise HeadAtlasError(
                "vlm.model was called directly under an edit that needs a batch's positions or rows: use vlm.answer, "
                "headatlas.vlm.read or generate, or headatlas.heads.edit_heads on the model itself"
            )


def _images(image: Picture) -> tuple[Image.Image, ...]:
    return () if image is None else (open_picture(image),)


def _found(model: Any) -> HeadGrid:
    """The heads of a model that conversations can be held with."""
    heads = find_heads(model)
    if heads.tower("E") or getattr(model.config, "is_encoder_decoder", False):
        raise HeadAtlasError(
            f"{type(model).__name__} is an encoder-decoder, and conversations need a language model that is a decoder alone; "
            "use find_heads, ZReader and edit_heads on the model itself"
        )
    return heads


def _device(module: Any) -> torch.device:
    """Where a module computes; accelerate's hook knows it for one whose weights are elsewhere."""
    if not module.weight.is_meta:
        return module.weight.device
    return torch.device(getattr(getattr(module, "_hf_hook", None), "execution_device", None) or "cpu")


def _for_rows(active: _Active, rows: Sequence[int]) -> Any:
    if active.rows is None and all(edit.rows is None for edit in active.edits):
        return list(active.edits)
    given = min((edit.rows for edit in active.edits if edit.rows is not None), default=len(active.rows or ()))
    if max(rows) >= given:
        raise HeadAtlasError(f"edits must be for {max(rows) + 1} rows or more, got {given}")
    return [[edit.at_row(row) for edit in (active.edits if active.rows is None else active.rows[row])] for row in rows]


__getattr__ = old_names(__name__)
