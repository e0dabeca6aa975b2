"""`VLM`: a model, its processor, its heads, and the edits that are active on it.

Knows tokens that end a turn and stand for an image; knows no questions. Edits are hooks of `headatlas.heads`; what is
added here is that every batch run through the VLM tells them where its image, prompt and answer positions are, and
which of its rows they are for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.families import counts_positions, family_of
from headatlas.heads import AttentionEdit, Edit, edit_heads, find_heads
from headatlas.heads.scope import check_scope
from headatlas.vlm import identity
from headatlas.vlm.image_tokens import needs_place, placed_edits
from headatlas.vlm.memo import BatchMemo
from headatlas.vlm.pixels import ImageKeys, PixelMemo, room

if TYPE_CHECKING:
    from headatlas.heads import Head
    from headatlas.vlm.attention import AttentionMap
    from headatlas.vlm.batch import Batch

Edits = tuple[Edit | AttentionEdit, ...]


@dataclass(frozen=True)
class _Active:
    edits: Edits
    rows: tuple[Edits, ...] | None
    scope: str
    deferred: bool
    """True if the hooks are set batch by batch, because positions or rows are needed."""


class VLM:
    """A vision-language model ready to be asked, read and edited. Made by `load_vlm`.

    Attributes:
        name: what it was loaded by.
        model, processor, tokenizer: the Hugging Face objects, untouched.
        heads: its heads (`HeadGrid`).
        device: where its input embeddings are.
        loaded_with: what `load_vlm` was given beside name, device and dtype, so that another process can load the same.
    """

    def __init__(self, name: str, model: nn.Module, processor: Any, fingerprint: str | None = None) -> None:
        self.name = name
        self.model: Any = model
        self.processor = processor
        self._fixed_fingerprint = fingerprint
        self.loaded_with: dict[str, Any] = {}
        self.heads = find_heads(model)
        if self.heads.tower("E") or getattr(model.config, "is_encoder_decoder", False):
            raise HeadAtlasError(
                f"{type(model).__name__} is an encoder-decoder, and conversations need a language model that is a decoder alone; "
                "use find_heads, ZReader and edit_heads on the model itself"
            )
        self.family: str = type(model).__name__.removesuffix("ForConditionalGeneration")
        embeddings = self.model.get_input_embeddings()
        self.device: torch.device = _device(embeddings)
        self.dtype: torch.dtype = embeddings.weight.dtype
        self.image_key = ImageKeys()
        self.pixels = PixelMemo(self.image_key, room(self.model, 25))
        self.batches = BatchMemo()
        self.end_tokens, self.end_ids = _end_tokens(self.model, self.tokenizer)
        self.image_ids = _image_ids(self.model.config, processor)
        # A picture that is attended to across, or stands in front of the text, is at none of the text's positions.
        self.image_in_text = bool(self.image_ids) and not self.heads.tower("X")
        self.chat_format = family_of(self.model.config.model_type).chat
        self.takes_position_ids = (
            not counts_positions(self.model) and "position_ids" in inspect.signature(self.model.forward).parameters
        )
        self._active: list[_Active] = []
        self._within_batch = False

    def __repr__(self) -> str:
        layers, heads = self.heads.shape
        return f"VLM({self.name!r}, {self.family}, {layers} layers x {heads} heads, {self.dtype}, {self.device})"

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def identity(self) -> dict[str, str]:
        """What decides this model's answers, now: weights, adapters, tokenizer, chat template, the date it writes, picture
        sizes and so on, by name. Computed at every call; `identity.differences` compares two of them."""
        return identity.identity(self.model, self.processor)

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
        """Within, whatever this VLM reads, generates or captures has its heads edited. Nested edits apply one after
        the other.

        Args:
            edits: applied to every row, in order: of z (`zero`, `mean`, `steer`...) and of attention (`attend`, `block`...); keys
                of the latter may be `"image"`, a `Box` of the first picture, or token positions of each conversation.
            scope: `all` positions, `image`, `prompt`, `answer` (the positions that predict an answer token) or `last`.
            rows: instead of `edits`, one list of edits for each conversation of the next calls.

        Raises:
            HeadAtlasError: unknown scope, both `edits` and `rows`, or a direct call of `vlm.model` under an edit that
                needs to know a batch's positions or rows.
        """
        if check_scope(scope) == "image" and not self.image_in_text:
            raise HeadAtlasError(
                f"scope 'image' has no meaning for {self.family}: {self.picture_path}; use scope 'all' with heads of "
                f"{'the cross-attention (X) or ' if self.heads.tower('X') else ''}the vision tower (V)"
            )
        if edits and rows is not None:
            raise HeadAtlasError("expected edits for all rows, or `rows` with one list for each, came both")
        placed = any(needs_place(edit) for edit in edits)
        by_batch = scope != "all" or placed or rows is not None or any(edit.rows is not None for edit in edits)
        # Hooks act in the order they were set, so behind an edit that waits for its batch every further one waits too.
        deferred = by_batch or any(active.deferred for active in self._active)
        with ExitStack() as stack:
            if deferred:
                stack.callback(self.model.register_forward_pre_hook(self._guard).remove)
            else:
                stack.enter_context(edit_heads(self.model, self.heads, list(edits)))
            self._active.append(_Active(edits, None if rows is None else tuple(map(tuple, rows)), scope, deferred))
            stack.callback(self._active.pop)
            yield self

    @property
    def picture_path(self) -> str:
        """In words: how the picture reaches the text."""
        if self.image_in_text:
            tokens = ", ".join(map(str, self.tokenizer.convert_ids_to_tokens(list(self.image_ids))))
            return f"the picture stands in the text, at the tokens {tokens}"
        if self.heads.tower("X"):
            return "the picture reaches the text by cross-attention, and no position of the text holds it"
        return "no token of the text stands for the picture"

    @property
    def edited(self) -> bool:
        """True within `edit`."""
        return bool(self._active)

    @property
    def edits_key(self) -> tuple[str, ...]:
        """What identifies the active edits: scope and fingerprints, outermost first; for markers and caches."""
        return tuple(
            f"{a.scope}:" + ",".join(edit.fingerprint for row in (a.rows or (a.edits,)) for edit in row)
            for a in self._active
        )

    @property
    def active_edits(self) -> tuple[tuple[Edits, str], ...]:
        """The active edits for all rows and their scopes, outermost first."""
        return tuple((active.edits, active.scope) for active in self._active)

    @property
    def by_row(self) -> bool:
        """True if an active edit differs from row to row."""
        return any(a.rows is not None or any(edit.rows is not None for edit in a.edits) for a in self._active)

    @contextmanager
    def running(self, batch: Batch, rows: Sequence[int]) -> Iterator[None]:
        """Put the active edits on the model for one batch, whose rows are the conversations `rows` of the call."""
        with ExitStack() as stack:
            waiting = [active for active in self._active if active.deferred]
            if waiting:
                positions = batch.positions
                for active in waiting:
                    edits = placed_edits(self, batch, _for_rows(active, rows))
                    stack.enter_context(edit_heads(self.model, self.heads, edits, active.scope, positions))
            before, self._within_batch = self._within_batch, True
            try:
                yield
            finally:
                self._within_batch = before

    def answer(self, image: Image.Image | str | Path | np.ndarray, text: str, max_new_tokens: int = 16) -> str:
        """What the model says to one image and a text, greedily, under the active edits.

        Args:
            image: a PIL image, the path of one, or an array [height, width, 3], uint8, 0..255, RGB.
            text: the user's words.
            max_new_tokens: at most so many tokens are said.
        """
        from headatlas.vlm.chat import Conversation, Turn
        from headatlas.vlm.generate import generate

        return generate(self, [Conversation((as_image(image),), (Turn(text),))], max_new_tokens)[0]

    def attention(
        self,
        image: Image.Image | str | Path | np.ndarray,
        text: str,
        heads: Iterable[Head | str] | None = None,
        queries: str | Sequence[int] = "predict",
        answer: str | None = None,
    ) -> AttentionMap:
        """What heads look at while the model reads one image and a text, under the active edits; its own kernels stay in use.

        Args:
            image: as for `answer`.
            text: the user's words.
            heads: heads of the language model; by default all of them.
            queries: `"predict"` (the position that predicts the answer's first token, and, with `answer`, those that predict its
                further ones), `"all"`, or positions of tokens.
            answer: an answer that the model is given, token by token; without it the prompt alone is read.
        """
        from headatlas.vlm.attention import attention_map
        from headatlas.vlm.chat import Conversation, Turn

        picture = as_image(image)
        return attention_map(self, Conversation((picture,), (Turn(text, answer),)), heads, queries)

    def _guard(self, module: nn.Module, args: Any) -> None:
        if not self._within_batch:
            raise HeadAtlasError(
                "vlm.model was called directly under an edit that needs a batch's positions or rows: use vlm.answer, "
                "headatlas.vlm.read or generate, or headatlas.heads.edit_heads on the model itself"
            )


def as_image(image: Image.Image | str | Path | np.ndarray) -> Image.Image:
    """An upright PIL image in RGB from an image, a path, or an array [height, width, 3] of uint8.

    Images and files are opened as `headatlas.cogvsr.pictures.open_picture` says: EXIF orientation applied, transparency on
    white, 16-bit grey scaled to 8.

    Raises:
        HeadAtlasError: the file cannot be read as an image, or the array has another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise HeadAtlasError(f"image must be [height, width, 3] of uint8, got {list(image.shape)} of {image.dtype}")
        return Image.fromarray(image)
    from headatlas.cogvsr.pictures import open_picture  # here, because the room `cogvsr` takes a second to import

    return open_picture(image)


def _device(module: Any) -> torch.device:
    """Where a module computes; one whose weights lie elsewhere has a hook of accelerate's that tells."""
    if not module.weight.is_meta:
        return module.weight.device
    return torch.device(getattr(getattr(module, "_hf_hook", None), "execution_device", None) or "cpu")


def _for_rows(active: _Active, rows: Sequence[int]) -> Any:
    if active.rows is None and all(edit.rows is None for edit in active.edits):
        return list(active.edits)
    given = min((edit.rows for edit in active.edits if edit.rows is not None), default=len(active.rows or ()))
    if max(rows) >= given:
        raise HeadAtlasError(f"expected edits for {max(rows) + 1} rows or more, came {given}")
    return [[edit.at_row(row) for edit in (active.edits if active.rows is None else active.rows[row])] for row in rows]


def _end_tokens(model: Any, tokenizer: Any) -> tuple[tuple[str, ...], frozenset[int]]:
    """Tokens that may end a turn: those that end generation, and every special token that looks like an end."""
    generation = getattr(model, "generation_config", None)
    ids: set[int] = set()
    for value in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        ids.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    for token in (
        "<|im_end|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<|eot_id|>",
        "<|eot|>",
        "<|end|>",
        "<|end_of_text|>",
        "</s>",
    ):
        known = tokenizer.convert_tokens_to_ids(token)
        if isinstance(known, int) and known >= 0 and known != tokenizer.unk_token_id:
            ids.add(known)
    tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(sorted(ids)) if token]
    return tuple(sorted(tokens, key=len, reverse=True)), frozenset(ids)


def _image_ids(config: Any, processor: Any) -> tuple[int, ...]:
    for owner, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        value = getattr(owner, name, None)
        if isinstance(value, int):
            return (value,)
    return ()
