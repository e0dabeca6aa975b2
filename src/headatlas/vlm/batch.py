"""Turn conversations into one batch of tensors, with the token span of every answer (`spans.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.vlm.chat import Conversation
from headatlas.vlm.spans import find_spans, one_line, tokenized
from headatlas.vlm.special_tokens import ImageTokenError, check_image_token, check_known
from headatlas.vlm.transcript import transcripts

if TYPE_CHECKING:
    from headatlas.heads import Positions
    from headatlas.vlm.loaded import LoadedModel

Side = Literal["left", "right"]


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """Inputs of a model, and where the answers are in them. Tensors are on the CPU until `to`."""

    inputs: dict[str, Any]
    """For `model(**inputs)`: input_ids [B, T], attention_mask [B, T], the family's image tensors."""
    spans: tuple[tuple[tuple[int, int], ...], ...]
    """`spans[row][turn] = (start, end)`: the answer's tokens, its end-of-turn token last (where the template has one). An open
    last turn has no span."""
    ends: tuple[tuple[bool, ...], ...]
    """`ends[row][turn]`: whether the span's last token is an end-of-turn token."""
    image_mask: Bool[Tensor, "B T"]
    """True at image tokens; False everywhere if the image reaches the text in another way."""
    starts: tuple[int, ...]
    """First real (not padding) token of each row."""
    side: Side
    open: bool
    """True if the rows end in a generation prompt."""
    image_in_text: bool = True
    """False if the image reaches the text by cross-attention: then scope `image` has no meaning."""
    image_sizes: tuple[tuple[tuple[int, int], ...], ...] = ()
    """`image_sizes[row]`: width and height of each picture that the row shows."""
    names: tuple[str, ...] = ()
    """The name of each row's conversation, such as its question's id."""

    def __repr__(self) -> str:
        rows, tokens = self.ids.shape
        answers = sum(map(len, self.spans))
        return f"<Batch: {rows} rows x {tokens} tokens, padded on the {self.side}, {answers} answers, on {self.ids.device}>"

    @property
    def ids(self) -> Int[Tensor, "B T"]:
        """Token ids, padded."""
        return self.inputs["input_ids"]

    @property
    def mask(self) -> Bool[Tensor, "B T"]:
        """True at real tokens, False at padding."""
        return self.inputs["attention_mask"].bool()

    def turn_start(self, row: int, turn: int) -> int:
        """First token of a turn's user part: the end of the answer before it, or the row's first token."""
        return self.starts[row] if turn == 0 else self.spans[row][turn - 1][1]

    def predict_mask(self) -> Bool[Tensor, "B T"]:
        """Positions that predict an answer's token: from the last prompt token to the answer's last but one."""
        mask = torch.zeros_like(self.image_mask)
        for row, spans in enumerate(self.spans):
            for start, end in spans:
                mask[row, start - 1 : end - 1] = True
            if self.open:
                mask[row, self._final(row)] = True
        return mask

    def last_mask(self) -> Bool[Tensor, "B T"]:
        """Each turn's last prompt token."""
        mask = torch.zeros_like(self.image_mask)
        for row, spans in enumerate(self.spans):
            for start, _ in spans:
                mask[row, start - 1] = True
            if self.open:
                mask[row, self._final(row)] = True
        return mask

    @property
    def positions(self) -> Positions:
        """The positions of each scope of an edit.

        `answer` are the positions that predict an answer token, `prompt` all others that are not padding. In an open batch
        `answer` and `last` cover the open turn alone: earlier answers stay as the bare model sees them.
        """
        from headatlas.heads import Positions

        predict, answer, last = self.predict_mask(), self.predict_mask(), self.last_mask()
        if self.open:
            answer = torch.zeros_like(predict)
            answer[range(len(answer)), [self._final(row) for row in range(len(answer))]] = True
            last = answer.clone()
        image = self.image_mask if self.image_in_text else None
        return Positions(image=image, prompt=self.mask & ~predict, answer=answer, last=last)

    def to(self, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """The inputs on the model's device, pixels in the model's dtype."""
        moved = {}
        for name, value in self.inputs.items():
            if isinstance(value, Tensor):
                value = value.to(device, dtype) if value.is_floating_point() else value.to(device)
            moved[name] = value
        return moved

    def _final(self, row: int) -> int:
        return int(self.mask[row].nonzero()[-1])


class UnreadableError(HeadAtlasError):
    """Conversations that a model's processor cannot turn into inputs.

    Attributes:
        reasons: index of each such conversation in the call -> why.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("; ".join(self.reasons.values()))


def encode(
    vlm: LoadedModel, conversations: Sequence[Conversation], generation_prompt: bool = False, side: Side | None = None
) -> Batch:
    """Tokenize conversations into one padded batch and find every answer in it.

    Args:
        vlm: the model whose processor and template are used.
        conversations: one for each row. With `generation_prompt` each must end in an open turn; without it none may.
        generation_prompt: whether rows end with the prompt for the model's answer.
        side: padding side; by default left with a generation prompt (as `generate` needs) and right without.

    Raises:
        ImageTokenError: the model looks for pictures at another token than its processor writes.
        UnreadableError: some conversations cannot be encoded; the message names them and the reasons.
        HeadAtlasError: no conversations, turns wrongly open or closed, or rows that the processor accepts one by one but not
            as a batch.
    """
    if not conversations:
        raise HeadAtlasError("conversations must hold at least one conversation to encode, got none")
    for chat in conversations:
        if chat.open != generation_prompt:
            wanted = "an open last turn" if generation_prompt else "an answer in every turn"
            raise HeadAtlasError(
                f"{label(chat)}a conversation must have {wanted}, got the last turn {chat.turns[-1]!r}"
            )
    side = side or ("left" if generation_prompt else "right")
    try:
        return vlm.encodings.batch(
            conversations, generation_prompt, side, lambda: _encode(vlm, conversations, generation_prompt, side)
        )
    except ImageTokenError:
        raise
    except HeadAtlasError as error:
        if len(conversations) == 1:
            raise UnreadableError({0: f"{label(conversations[0])}{error}"}) from error
        together = error
    reasons: dict[int, str] = {}
    for row, chat in enumerate(conversations):
        try:
            _encode(vlm, [chat], generation_prompt, side)
        except HeadAtlasError as error:
            reasons[row] = f"{label(chat)}{error}"
    if reasons:
        raise UnreadableError(reasons) from together
    if len({len(chat.images) for chat in conversations}) > 1:
        raise HeadAtlasError(f"{together}; batch conversations with equally many images, as `read` does") from together
    raise together


def label(chat: Conversation) -> str:
    """The beginning of messages about one conversation: `"question 'x': "`; empty for a conversation without a name."""
    return f"question {chat.name!r}: " if chat.name else ""


def _encode(vlm: LoadedModel, conversations: Sequence[Conversation], generation_prompt: bool, side: Side) -> Batch:
    images = _images(conversations)
    _refuse_special_tokens(vlm, conversations)
    try:
        texts, prompts = transcripts(vlm, conversations, generation_prompt)
    except HeadAtlasError:
        raise
    except Exception as error:  # a template is a program of the checkpoint's
        raise HeadAtlasError(f"{vlm.family}'s chat template fails: {one_line(error)}") from error
    # A template that writes the beginning-of-text token itself must not get a second one from the tokenizer.
    bos = vlm.tokenizer.bos_token
    special = not (bos and texts[0].startswith(bos))
    inputs = _processed(vlm, texts, images, side, special)
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    check_known(vlm.model, vlm.processor, ids)
    if images is not None:
        check_image_token(vlm.model.config, vlm.processor, ids)
    if side == "left":
        _positions_of_left_padding(vlm, inputs, mask)

    first_real, n_real = mask.int().argmax(1).tolist(), mask.sum(1).tolist()
    real = [ids[row, start : start + n].tolist() for row, (start, n) in enumerate(zip(first_real, n_real, strict=True))]
    answers = find_spans(vlm, conversations, texts, prompts, real, special)
    spans = [[(a + start, b + start) for a, b, _ in row] for row, start in zip(answers, first_real, strict=True)]
    ends = [[ended for _, _, ended in row] for row in answers]
    if vlm.chat_format.two_way_prefix:
        _types_of_prefix(inputs, [row[0][0] if row else ids.shape[1] for row in spans])
    return Batch(
        inputs=inputs,
        spans=tuple(map(tuple, spans)),
        ends=tuple(map(tuple, ends)),
        image_mask=_image_mask(vlm, ids) & mask,
        image_in_text=vlm.image_in_text,
        starts=tuple(first_real),
        side=side,
        open=generation_prompt,
        image_sizes=tuple(tuple(image.size for image in chat.images) for chat in conversations),
        names=tuple(chat.name for chat in conversations),
    )


def _processed(
    vlm: LoadedModel, texts: list[str], images: list[Any] | None, side: Side, special: bool
) -> dict[str, Any]:
    """The processor's output for texts and images; for texts alone the tokenizer is used if the processor fails."""
    options = {"return_tensors": "pt", "padding": True, "padding_side": side, "add_special_tokens": special}
    try:
        with vlm.pixels.installed(vlm.processor):
            encoded = vlm.processor(
                text=[text.removesuffix(vlm.chat_format.appended) for text in texts], images=images, **options
            )
    except MemoryError:
        raise
    except Exception as error:  # processors can raise any error: division by zero, index, ...
        if images is not None:
            raise HeadAtlasError(
                f"{vlm.family}'s processor fails: {type(error).__name__}: {one_line(error)}"
            ) from error
        encoded = vlm.tokenizer(texts, **options)
    # Labels are for training: with them the model would compute a loss over logits that are not kept.
    return {name: value for name, value in encoded.items() if value is not None and name != "labels"}


def _refuse_special_tokens(vlm: LoadedModel, conversations: Sequence[Conversation]) -> None:
    """Raise if the words of a turn contain a special token, which the model would read as the end of a turn or as an image."""
    texts = [text for chat in conversations for turn in chat.turns for text in (turn.user, turn.answer) if text]
    special = _special_tokens(vlm)
    for text, tokens in zip(texts, tokenized(vlm, texts, False) if texts else (), strict=True):
        for token in tokens:
            if token in special and special[token] in text:
                raise HeadAtlasError(
                    f"the text must not hold special tokens of {vlm.family}, got {special[token]!r} in {text[:60]!r}"
                )


def _special_tokens(vlm: LoadedModel) -> dict[int, str]:
    """The tokens that are not part of ordinary text, by id."""
    tokenizer = vlm.tokenizer
    names = {token for token in tokenizer.all_special_tokens if isinstance(token, str)}
    names |= {str(token) for token in tokenizer.added_tokens_decoder.values() if getattr(token, "special", False)}
    known = [token for token in vlm.image_ids if 0 <= token < len(tokenizer)]
    names |= set(map(str, tokenizer.convert_ids_to_tokens(known)))
    names |= {value for name, value in vars(vlm.processor).items() if name.endswith("token") and isinstance(value, str)}
    # Some tokenizers call an ordinary word or sign special ("!" for padding).
    names = {name for name in names if len(name) > 2 and not name.isalnum()}
    return {token: name for name in names if isinstance(token := tokenizer.convert_tokens_to_ids(name), int)}


def _images(conversations: Sequence[Conversation]) -> list[Any] | None:
    rows = [list(chat.images) for chat in conversations]
    if not any(rows):
        return None
    # Nested, one list per row, which every family understands. Rows without images can only be passed as a flat list.
    return rows if all(rows) else [image for row in rows for image in row]


def _image_mask(vlm: LoadedModel, ids: Tensor) -> Tensor:
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for token in vlm.image_ids if vlm.image_in_text else ():
        mask |= ids == token
    return mask


def _positions_of_left_padding(vlm: LoadedModel, inputs: dict[str, Any], mask: Tensor) -> None:
    """Count positions from the first real token. Families with their own (multimodal) positions count from the mask
    themselves."""
    if vlm.takes_position_ids:
        inputs["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)


def _types_of_prefix(inputs: dict[str, Any], ends: Sequence[int]) -> None:
    """Type 0, seen in both directions, up to the first answer of each row; type 1, causal, from there on."""
    places = torch.arange(inputs["input_ids"].shape[1])
    inputs["token_type_ids"] = (places[None] >= torch.tensor(ends)[:, None]).long()
