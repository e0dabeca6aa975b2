"""The special tokens of a model: those that end a turn, and those that stand for the picture."""

from __future__ import annotations

from typing import Any


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
    for owner, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        value = getattr(owner, name, None)
        if isinstance(value, int):
            return (value,)
    return ()
