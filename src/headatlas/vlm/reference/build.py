"""Builds the shipped VLM from nothing: tokenizer, processor, configuration, fresh weights; and saves the finished one.

Knows LLaVA's parts in `transformers` and the words that CogVSR's scenes use; knows nothing of training or of scores. What it
saves is an ordinary model folder: `AutoModelForImageTextToText` and `AutoProcessor` load it without code of this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

USER, ASSISTANT, END, PAD, IMAGE = SPECIALS = ("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>", "<image>")

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|assistant|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ '<image>\n' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endif %}"
    "{{ '<|end|>' if message['role'] == 'assistant' else '' }}"
    "{% endfor %}"
    "{{ '<|assistant|>' if add_generation_prompt else '' }}"
)
"""LLaVA's form: `<|user|><image>\\ntext<|assistant|>answer<|end|><|user|>...`; nothing depends on later turns."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a reference VLM. A patch is one cell of the scenes' board: `image_size / patch_size` = 6."""

    image_size: int = 144
    patch_size: int = 24
    vision_width: int = 128
    vision_layers: int = 3
    vision_heads: int = 4
    width: int = 128
    layers: int = 6
    heads: int = 8
    mlp: int = 512
    max_length: int = 512

    @property
    def image_tokens(self) -> int:
        """How many `<image>` tokens a picture takes: one a patch."""
        return (self.image_size // self.patch_size) ** 2


def words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words, digits and signs of the texts, lower-cased, in alphabetical order."""
    return tuple(sorted({word for text in texts for word in re.findall(r"[a-z]+|\d|[^\sa-z\d]", text.lower())}))


def build_tokenizer(vocabulary: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that lower-cases, with one token for every given word and bytes for all others.

    A word is the same token wherever it stands: each follows a space, which is added behind special tokens and line ends.
    """
    table = {token: i for i, token in enumerate(SPECIALS)}
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        table.setdefault(byte, len(table))
    for word in ("\n", *vocabulary):
        for token in (f"Ġ{word}",) if word != "\n" else ("Ċ", "ĠĊ"):
            table.setdefault(token, len(table))
    # `ignore_merges`: a word that is in the vocabulary is one token, without the merges that would lead there.
    core = Tokenizer(models.BPE(vocab=table, merges=[], ignore_merges=True))
    core.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("\n", "\n ")])
    # Signs stand alone ("left," is "left" and ","): every one gets the space that words have, so that it is one token too.
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s*\n| ?\p{L}+| ?\d| ?[^\s\p{L}\d]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, additional_special_tokens=[USER, ASSISTANT, IMAGE],
        model_max_length=512, clean_up_tokenization_spaces=False, padding_side="right",
    )  # fmt: skip


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the number of one token of the vocabulary."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int), token
    return found


def build_processor(tokenizer: PreTrainedTokenizerFast, shape: Shape) -> LlavaProcessor:
    """Return LLaVA's processor: CLIP's image processor (resize, crop, mean and deviation 0.5) and the chat template."""
    pictures = CLIPImageProcessor(
        size={"shortest_edge": shape.image_size},
        crop_size={"height": shape.image_size, "width": shape.image_size},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    # CLIP's class token is counted and then dropped ("default"), hence the one additional token.
    return LlavaProcessor(
        image_processor=pictures, tokenizer=tokenizer, patch_size=shape.patch_size, num_additional_image_tokens=1,
        vision_feature_select_strategy="default", chat_template=TEMPLATE, image_token=IMAGE,
    )  # fmt: skip


def build_model(tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> LlavaForConditionalGeneration:
    """Return a LLaVA with fresh float32 weights that depend on `seed` only."""
    vision = CLIPVisionConfig(
        image_size=shape.image_size, patch_size=shape.patch_size, hidden_size=shape.vision_width,
        num_hidden_layers=shape.vision_layers, num_attention_heads=shape.vision_heads,
        intermediate_size=4 * shape.vision_width, projection_dim=shape.vision_width, hidden_act="quick_gelu",
    )  # fmt: skip
    pad, end, image = (token_id(tokenizer, token) for token in (PAD, END, IMAGE))
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.width, intermediate_size=shape.mlp, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.heads, max_position_embeddings=shape.max_length,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=end, pad_token_id=pad,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image,
        image_seq_length=shape.image_tokens, vision_feature_layer=-1, vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=False, max_new_tokens=16)
    return model


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write the model folder. Weights lie there as float16, half the size, and load as float32, which the config names."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = folder / "model.safetensors"
    halves = {name: tensor.to(torch.float16) for name, tensor in load_file(weights).items()}
    save_file(halves, weights, metadata={"format": "pt"})
