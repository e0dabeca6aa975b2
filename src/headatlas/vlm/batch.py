"""From conversations to a batch of tensors, with the token span of every answer.

Knows processors and tokenizers; knows no weights. Families expand an image placeholder into anything from 64 to
thousands of tokens, with rows, columns and markers between them, but all images stand in front of the first user turn.
So spans are found on the *unexpanded* text, by tokenizing prefixes of it, and shifted by the number of tokens that the
expansion added; then
everything is verified on the tokens that the model will really see: each prompt's tokens are a prefix of the
conversation's, the tail is the same token by token, and each span spells its answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.vlm.chat import Conversation
from headatlas.vlm.pixels import WayBack
from headatlas.vlm.transcript import transcripts

if TYPE_CHECKING:
    from headatlas.heads import Positions
    from headatlas.vlm.load import VLM

Side = Literal["left", "right"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What the model is given, and where the answers are. Tensors are on the CPU until `to`."""

    inputs: dict[str, Any]
    """For `model(**inputs)`: input_ids [B,T], attention_mask [B,T], the family's image tensors."""
    spans: tuple[tuple[tuple[int, int], ...], ...]
    """`spans[row][turn] = (start, end)`: the answer's tokens, its end-of-turn token last (where the template has one).
    An open last turn has no span."""
    ends: tuple[tuple[bool, ...], ...]
    """`ends[row][turn]`: whether the span's last token is an end-of-turn token."""
    image_mask: Bool[Tensor, "B T"]
    """Where the picture's features stand in the text; nowhere if it reaches the text another way."""
    starts: tuple[int, ...]
    """First real (not padding) token of each row."""
    side: Side
    open: bool
    """True if the rows end in a generation prompt."""
    image_in_text: bool = True
    """False if the picture reaches the text by cross-attention or before it: then scope `image` has no meaning."""
    image_sizes: tuple[tuple[tuple[int, int], ...], ...] = ()
    """`image_sizes[row]`: width and height of each picture that the row shows."""

    @property
    def ids(self) -> Int[Tensor, "B T"]:
        """Token ids, padded."""
        return self.inputs["input_ids"]

    @property
    def mask(self) -> Bool[Tensor, "B T"]:
        """True at real tokens, False at padding."""
        return self.inputs["attention_mask"].bool()

    def turn_start(self, row: int, turn: int) -> int:
        """First token of a turn's user part: where the answer before it ended, or the row's first token."""
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
        """Where each scope of an edit is. `answer` are the positions that predict an answer token, `prompt` all
        others that are not padding. Where the model is to answer (`open`), `answer` and `last` are of the open turn alone: what
        it is told of earlier steps stays as the bare model sees it."""
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


def encode(
    vlm: VLM, conversations: Sequence[Conversation], generation_prompt: bool = False, side: Side | None = None
) -> Batch:
    """Tokenize conversations into one padded batch and find every answer in it.

    Args:
        vlm: the model whose processor and template are used.
        conversations: one a row. With `generation_prompt` each must end in an open turn, without it none may.
        generation_prompt: end each row where the model is to answer.
        side: of the padding; by default left with a generation prompt (what `generate` needs) and right without.

    Raises:
        HeadAtlasError: naming family and turn, when a prompt is not a prefix of the whole conversation or an answer is
            not found.
    """
    if not conversations:
        raise HeadAtlasError("expected at least one conversation to encode, came none")
    for chat in conversations:
        if chat.open != generation_prompt:
            wanted = "an open last turn" if generation_prompt else "an answer in every turn"
            raise HeadAtlasError(f"expected {wanted}, came the last turn {chat.turns[-1]!r}")
    side = side or ("left" if generation_prompt else "right")
    key = (side, generation_prompt, *((tuple(map(vlm.image_key, chat.images)), chat.turns) for chat in conversations))
    images = _images(conversations)

    def make() -> tuple[Batch, WayBack | None]:
        batch = _encode(vlm, conversations, images, generation_prompt, side)
        return batch, vlm.pixels.way_back(images, batch.inputs)

    return vlm.batches.get(key, images, make)


def _encode(
    vlm: VLM, conversations: Sequence[Conversation], images: list[Any] | None, generation_prompt: bool, side: Side
) -> Batch:
    texts, prompts = transcripts(vlm, conversations, generation_prompt)
    # A template that writes the beginning-of-text token itself must not get a second one from the tokenizer.
    bos = vlm.tokenizer.bos_token
    special = not (bos and texts[0].startswith(bos))
    try:
        with vlm.pixels.installed(vlm.processor):
            made = vlm.processor(
                text=[text.removesuffix(vlm.chat_format.appended) for text in texts],
                images=images,
                return_tensors="pt",
                padding=True,
                padding_side=side,
                add_special_tokens=special,
            )
    except (ValueError, OSError) as error:
        raise HeadAtlasError(f"{vlm.family}'s processor refused the batch: {error}") from error
    # Labels are for training: with them the model would work out a loss over logits that are not kept.
    inputs = {name: value for name, value in made.items() if value is not None and name != "labels"}
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    if side == "left":
        _positions_of_left_padding(vlm, inputs, mask)

    tokenize = _tokenizer(vlm, special)
    plain = tokenize(texts)
    pieces, owners = [], []
    for row, chat in enumerate(conversations):
        for turn, prompt in enumerate(prompts[row]):
            if chat.turns[turn].answer is None:
                continue
            close, ended = _close(vlm, texts[row], prompt, chat.turns[turn].answer or "", turn)
            pieces += [prompt, texts[row][:close]]
            owners.append((row, turn, ended))
    tokenized = tokenize(pieces) if pieces else []

    first_real = mask.int().argmax(1).tolist()
    n_real = mask.sum(1).tolist()
    spans: list[list[tuple[int, int]]] = [[] for _ in conversations]
    ends: list[list[bool]] = [[] for _ in conversations]
    for i, (row, turn, ended) in enumerate(owners):
        before, upto = tokenized[2 * i], tokenized[2 * i + 1]
        whole = plain[row]
        if whole[: len(before)] != before or whole[: len(upto)] != upto or len(upto) <= len(before):
            raise HeadAtlasError(
                f"{vlm.family}: expected the prompt of turn {turn} to be a token prefix of the conversation; "
                f"its tokenizer joins "
                f"the prompt's end with the answer {conversations[row].turns[turn].answer!r}"
            )
        shift = first_real[row] + n_real[row] - len(whole)
        spans[row].append((len(before) + shift, len(upto) + shift))
        ends[row].append(ended)

    for row, chat in enumerate(conversations):
        real = ids[row, first_real[row] : first_real[row] + n_real[row]].tolist()
        _verify(
            vlm, chat, real, plain[row], [(a - first_real[row], b - first_real[row]) for a, b in spans[row]], ends[row]
        )
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
    )


def _close(vlm: VLM, text: str, prompt: str, answer: str, turn: int) -> tuple[int, bool]:
    """Where in `text` the answer, with the end-of-turn token behind it, ends; and whether there is such a token."""
    at = len(prompt)
    blank = len(text[at:]) - len(text[at:].lstrip())
    said = answer.strip()
    if said and text.startswith(said, at + blank):
        at += blank + len(said)
    elif said:
        raise HeadAtlasError(
            f"{vlm.family}'s chat template does not write the answer of turn {turn} where the model would: "
            f"expected {said!r}, came "
            f"{text[at : at + 40]!r}"
        )
    end = re.match(r"\s*", text[at:])
    assert end is not None
    for token in vlm.end_tokens:
        for start in (at, at + end.end()):
            if text.startswith(token, start):
                return start + len(token), True
    return at, False


def _verify(
    vlm: VLM, chat: Conversation, real: list[int], plain: list[int], spans: list[tuple[int, int]], ends: list[bool]
) -> None:
    """Raise unless, on the tokens that the model sees, every span spells its answer and its end of turn."""
    if not spans:
        return
    first = spans[0][0]
    shift = len(real) - len(plain)
    if real[first - 1 :] != plain[first - 1 - shift :]:
        raise HeadAtlasError(
            f"{vlm.family}: its processor changes tokens behind the images, so answers cannot be found"
        )
    for turn, ((start, end), ended) in enumerate(zip(spans, ends, strict=True)):
        body = real[start : end - 1] if ended else real[start:end]
        spelled = vlm.tokenizer.decode(body, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        wanted = chat.turns[turn].answer or ""
        if "".join(spelled.split()) != "".join(wanted.split()) or (ended and real[end - 1] not in vlm.end_ids):
            raise HeadAtlasError(
                f"{vlm.family}: expected the tokens of turn {turn} to spell {wanted!r} and end the turn, came "
                f"{spelled!r}"
            )


def _tokenizer(vlm: VLM, special: bool) -> Any:
    def tokenize(texts: list[str]) -> list[list[int]]:
        return vlm.tokenizer(list(texts), add_special_tokens=special, padding=False, truncation=False)["input_ids"]

    return tokenize


def _images(conversations: Sequence[Conversation]) -> list[Any] | None:
    rows = [list(chat.images) for chat in conversations]
    if not any(rows):
        return None
    # Nested, one list a row, which every family understands; a row without images can only be told apart in a flat
    # list.
    return rows if all(rows) else [image for row in rows for image in row]


def _image_mask(vlm: VLM, ids: Tensor) -> Tensor:
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for token in vlm.image_ids if vlm.image_in_text else ():
        mask |= ids == token
    return mask


def _positions_of_left_padding(vlm: VLM, inputs: dict[str, Any], mask: Tensor) -> None:
    """Count positions from the first real token. Families with their own (multimodal) positions count from the mask
    themselves."""
    if vlm.takes_position_ids:
        inputs["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)


def _types_of_prefix(inputs: dict[str, Any], ends: Sequence[int]) -> None:
    """Type 0, seen in both directions, up to the first answer of each row; type 1, causal, from there on."""
    places = torch.arange(inputs["input_ids"].shape[1])
    inputs["token_type_ids"] = (places[None] >= torch.tensor(ends)[:, None]).long()
