"""Find the tokens of every answer in a batch.

Families expand an image placeholder into 64 to thousands of tokens, with row and column markers between them, but all images
are in front of the first user turn. So spans are found on the *unexpanded* text, by tokenizing prefixes of it, and shifted by
the number of tokens that the expansion added. Then everything is verified on the expanded tokens: each prompt's tokens are a
prefix of the conversation's, the tail is the same token by token, and each span decodes to its answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headatlas.errors import HeadAtlasError
from headatlas.vlm.chat import Conversation

if TYPE_CHECKING:
    from headatlas.vlm.loaded import LoadedModel

Span = tuple[int, int, bool]
"""First token of an answer, the token after its last one (its end-of-turn token included), and whether it has such a token."""


def find_spans(
    vlm: LoadedModel,
    conversations: Sequence[Conversation],
    texts: list[str],
    prompts: list[list[str]],
    real: list[list[int]],
    special: bool,
) -> list[list[Span]]:
    """The span of every answer, counted from the first real token of its row.

    Args:
        vlm: the model.
        conversations: one for each row.
        texts, prompts: of each conversation, from `transcripts`.
        real: the token ids of each row without padding, images expanded.
        special: whether the tokenizer adds special tokens.

    Raises:
        HeadAtlasError: an answer cannot be found, or its tokens do not decode to it.
    """
    plain = tokenized(vlm, texts, special)
    pieces, owners = [], []
    for row, chat in enumerate(conversations):
        for turn, prompt in enumerate(prompts[row]):
            answer = chat.turns[turn].answer
            if answer is None:
                continue
            close, ended = _close(vlm, texts[row], prompt, answer, turn)
            pieces += [prompt, texts[row][:close]]
            owners.append((row, turn, ended))
    prefixes = tokenized(vlm, pieces, special) if pieces else []

    spans: list[list[Span]] = [[] for _ in conversations]
    for i, (row, turn, ended) in enumerate(owners):
        before, upto = prefixes[2 * i], prefixes[2 * i + 1]
        whole = plain[row]
        if whole[: len(before)] != before or whole[: len(upto)] != upto or len(upto) <= len(before):
            raise HeadAtlasError(
                f"{vlm.family}: the prompt of turn {turn} must be a token prefix of the conversation, got a tokenizer that "
                f"joins its end with the answer {conversations[row].turns[turn].answer!r}"
            )
        shift = len(real[row]) - len(whole)
        spans[row].append((len(before) + shift, len(upto) + shift, ended))
    for row, chat in enumerate(conversations):
        _verify(vlm, chat, real[row], plain[row], spans[row])
    return spans


def _close(vlm: LoadedModel, text: str, prompt: str, answer: str, turn: int) -> tuple[int, bool]:
    """Where in `text` the answer ends, including an end-of-turn token after it; and whether there is such a token."""
    at = len(prompt)
    blank = len(text[at:]) - len(text[at:].lstrip())
    words = answer.strip()
    if words and text.startswith(words, at + blank):
        at += blank + len(words)
    elif words:
        raise HeadAtlasError(
            f"{vlm.family}'s chat template does not write the answer of turn {turn} where the model would: it must write "
            f"{words!r}, got {text[at : at + 40]!r}"
        )
    end = re.match(r"\s*", text[at:])
    assert end is not None
    for token in vlm.end_tokens:
        for start in (at, at + end.end()):
            if text.startswith(token, start):
                return start + len(token), True
    return at, False


def _verify(
    vlm: LoadedModel,
    chat: Conversation,
    real: list[int],
    plain: list[int],
    spans: list[Span],
) -> None:
    """Raise unless, on the expanded tokens, every span decodes to its answer and its end of turn."""
    if not spans:
        return
    first = spans[0][0]
    shift = len(real) - len(plain)
    if real[first - 1 :] != plain[first - 1 - shift :]:
        raise HeadAtlasError(f"{vlm.family}: its processor changes tokens after the images, so answers cannot be found")
    for turn, (start, end, ended) in enumerate(spans):
        body = real[start : end - 1] if ended else real[start:end]
        spelled = vlm.tokenizer.decode(body, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        wanted = chat.turns[turn].answer or ""
        if _letters(spelled) != _letters(wanted) or (ended and real[end - 1] not in vlm.end_ids):
            raise HeadAtlasError(
                f"{vlm.family}: the tokens of turn {turn} must spell {wanted!r} and end the turn, got {spelled!r}"
            )


def _letters(text: str) -> str:
    """The text without blanks, in the form to which tokenizers normalise Unicode."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def tokenized(vlm: LoadedModel, texts: list[str], special: bool) -> list[list[int]]:
    """The token ids of each text; raises `HeadAtlasError` for a text that the tokenizer cannot read."""
    try:
        return vlm.tokenizer(list(texts), add_special_tokens=special, padding=False, truncation=False)["input_ids"]
    except (TypeError, ValueError) as error:  # half of a surrogate pair, for example
        raise HeadAtlasError(f"{vlm.family}'s tokenizer cannot read the text: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The first 200 characters of an error as one line."""
    return " ".join(str(error).split())[:200]
