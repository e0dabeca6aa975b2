"""What the base answers to plain prompts; training keeps the model close to it on these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from headatlas.reference.smol.prompts import TRAIN_PROMPTS

LONGEST = 48
"""The most tokens of an answer."""

_BATCH = 64


def plain_answers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, store: Path, prompts: tuple[str, ...] = TRAIN_PROMPTS
) -> list[tuple[str, list[int]]]:
    """Return each prompt with the tokens of the base's greedy answer, without its end.

    They are stored in the file `store`, which is written again for other prompts.
    """
    told = json.loads(store.read_text()) if store.exists() else []
    if [prompt for prompt, _ in told] != list(prompts):
        told = list(zip(prompts, answer(model, tokenizer, prompts), strict=True))
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(told))
    return [(prompt, said) for prompt, said in told]


def answer(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: tuple[str, ...], longest: int = LONGEST
) -> list[list[int]]:
    """Return the tokens of the model's greedy answer to each prompt in its own chat form, at most `longest` of them."""
    answers: list[list[int]] = []
    for start in range(0, len(prompts), _BATCH):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + _BATCH]]
        texts: Any = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
        batch = tokenizer(texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
        batch = batch.to(model.device)
        with torch.inference_mode():
            out = model.generate(**batch, do_sample=False, max_new_tokens=longest, pad_token_id=tokenizer.pad_token_id)  # type: ignore[operator]
        for row in out[:, batch["input_ids"].shape[1] :].tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            answers.append(row[:end])
    return answers
