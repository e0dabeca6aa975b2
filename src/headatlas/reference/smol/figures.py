"""Further measures of a model around a pretrained language model: questions in free words, plain text beside the base."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from headatlas.cogvsr.schema import Question
from headatlas.reference.smol.plain import answer
from headatlas.reference.smol.prompts import HELD_OUT_PROMPTS
from headatlas.scenes.wording import reword

LONGEST = 32
"""The most tokens of the base's answers that are compared."""


def in_free_words(questions: Sequence[Question], seed: int = 0) -> list[Question]:
    """Return the same questions, and their steps, in words that training never uses; each drawn by `seed` and its id."""
    return [reword(question, random.Random(f"{seed}/{question.id}"), "held_out") for question in questions]


@torch.inference_mode()
def agreement(
    model: Any,
    base: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: tuple[str, ...] = HELD_OUT_PROMPTS,
) -> list[tuple[int, int]]:
    """Return, for each plain prompt, how many tokens of the base's greedy answer the model says as well, and how many it has.

    The model reads the prompt and the base's answer so far, and is asked for the next token; the end of an answer counts as a
    token where the base ended within `LONGEST`.

    Args:
        model: the VLM; it is given no picture.
        base: its base, as `load_base` returns it.
        tokenizer: the base's.
        prompts: not used in training.
    """
    found = []
    for prompt, said in zip(prompts, answer(base, tokenizer, prompts, LONGEST), strict=True):
        chat = [{"role": "user", "content": prompt}]
        text: Any = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        opening = tokenizer(text, add_special_tokens=False)["input_ids"]
        wanted = said if len(said) == LONGEST else [*said, tokenizer.eos_token_id]
        ids = torch.tensor([[*opening, *wanted]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(opening) - 1 : -1]
        found.append((int((logits.argmax(-1) == ids[0, len(opening) :]).sum()), len(wanted)))
    return found
