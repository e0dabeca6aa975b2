"""The special tokens of a model: those that end a turn, and those that stand for the picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from headatlas.errors import HeadAtlasError

_NAMES = ("image_token_id", "image_token_index")


class ImageTokenError(HeadAtlasError):
    """A model's configuration and its processor disagree about the token of a picture: no question can be read."""


def end_tokens(model: Any, tokenizer: Any) -> tuple[tuple[str, ...], frozenset[int]]:
    """Texts (the longest first) and ids of the tokens that may end a turn.

    These are the tokens that end generation, and the known end-of-turn tokens of all families that the tokenizer has.
    """
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


def image_ids(config: Any, processor: Any) -> tuple[int, ...]:
    """Ids of the tokens at the positions of a picture; empty if neither configuration nor processor names one."""
    for owner, name in (*((config, name) for name in _NAMES), (processor, _NAMES[0])):
        value = getattr(owner, name, None)
        if isinstance(value, int):
            return (value,)
    return ()


def check_image_token(config: Any, processor: Any, ids: Tensor) -> None:
    """Raise unless the model looks for its pictures at the token that its processor writes for them.

    Args:
        config: the model's configuration.
        processor: its processor.
        ids: token ids of texts with pictures, as the processor wrote them.

    Raises:
        ImageTokenError: the configuration names a token that is not in the texts, or none.
    """
    written = getattr(processor, "image_token_id", None)
    name = next((name for name in _NAMES if hasattr(config, name)), None)
    if name is None or not isinstance(written, int) or not bool((ids == written).any()):
        return
    looked_for = getattr(config, name)
    if isinstance(looked_for, int) and bool((ids == looked_for).any()):
        return  # Gemma's processor calls the mark before a picture its image token
    token = processor.tokenizer.convert_ids_to_tokens(written)
    raise ImageTokenError(
        f"{name} in the model's configuration must be a token that its processor writes for a picture (such as {written}, "
        f"{token!r}), got {looked_for!r:.40}: set it back, or load the model and its processor from one folder"
    )


def check_known(model: Any, processor: Any, ids: Tensor) -> None:
    """Raise `HeadAtlasError` if texts have a token for which the model has no embedding; on a GPU the forward would not say so.

    Ids that the configuration names, such as that of a picture, may lie beyond the embeddings.
    """
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding) or not ids.numel():
        return
    rows = table.num_embeddings + getattr(table, "num_additional_embeddings", 0)
    beyond = set(ids[ids >= rows].tolist())
    if beyond and (unknown := sorted(beyond - _named_ids(model.config))):
        token = processor.tokenizer.convert_ids_to_tokens(unknown[0])
        raise HeadAtlasError(
            f"token {token!r} must have one of the model's {rows:,} embeddings, got id {unknown[0]}: it was added to the "
            "tokenizer; call model.resize_token_embeddings(len(tokenizer)) and train it, or load the processor again"
        )


def _named_ids(config: Any) -> set[int]:
    """The ids in fields of a configuration that name tokens."""
    found: set[int] = set()
    waiting = [config.to_dict()]
    while waiting:
        for key, value in waiting.pop().items():
            if isinstance(value, dict):
                waiting.append(value)
            elif "token" in str(key):
                found.update(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int))
    return found


@contextmanager
def images_placed(name: str, config: Any) -> Iterator[None]:
    """Turn what transformers raises within the block, where a picture does not fit its tokens or the model, into one line.

    Args:
        name: of the model, for the message.
        config: its configuration.
    """
    try:
        yield
    except HeadAtlasError:
        raise
    except ValueError as error:
        if "image tokens do not match" not in str(error):
            raise HeadAtlasError(
                f"{name}: the model must take what its processor makes, but fails ({' '.join(str(error).split())[:160]}); load "
                "both from one folder, unchanged"
            ) from error
        named = ", ".join(f"{one}={getattr(config, one)!r:.40}" for one in _NAMES if hasattr(config, one))
        raise HeadAtlasError(
            f"{name}: a picture must have as many tokens as its features, got others ({' '.join(str(error).split())[:120]}); the "
            f"configuration ({named}) and the processor must be of one model, and unchanged"
        ) from error
