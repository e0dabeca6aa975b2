"""Build what all reference VLMs share: their sizes, a tokenizer with one token per word, and the saving of a finished model.

The result is an ordinary model folder, which `AutoModelForImageTextToText` and `AutoProcessor` load without HeadAtlas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

from headatlas.reference.form import Form
from headatlas.transformers_bars import no_bars


@dataclass(frozen=True)
class Shape:
    """The sizes of a reference VLM. An image token is one cell of the scenes' board: `image_size / (patch_size * merge)` = 6."""

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
    merge: int = 1
    """Patches per image token along each side."""
    kv_heads: int | None = None
    """Key-value heads; None: as many as heads."""

    @property
    def image_tokens(self) -> int:
        """Image tokens of a picture: one per cell."""
        return (self.image_size // (self.patch_size * self.merge)) ** 2


def words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words, digits and signs of the texts, lower-cased, in alphabetical order."""
    return tuple(sorted({word for text in texts for word in re.findall(r"[a-z]+|\d|[^\sa-z\d]", text.lower())}))


def build_tokenizer(vocabulary: Iterable[str], form: Form) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that lower-cases, with one token for each given word and bytes for all others.

    A word is the same token everywhere: each follows a space, which is added where there is none. The family's special tokens
    come first, the words of its chat form ("user") last.
    """
    table = {token: i for i, token in enumerate(form.specials)}
    for byte in sorted(pre_tokenizers.ByteLevel.alphabet()):
        table.setdefault(byte, len(table))
    for word in ("\n", *vocabulary, *words([form.plain])):
        for token in (f"Ġ{word}",) if word != "\n" else ("Ċ", "ĠĊ"):
            table.setdefault(token, len(table))
    # `ignore_merges`: a word of the vocabulary is one token even without the merges that would produce it.
    core = Tokenizer(models.BPE(vocab=table, merges=[], ignore_merges=True))
    core.normalizer = normalizers.Lowercase()
    # Punctuation and line breaks are separate tokens ("left," is "left" and ","), with the space before them, as for words.
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n| ?\p{L}+| ?\d| ?[^\s\p{L}\d]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(form.specials))
    roles: dict[str, Any] = {"eos_token": form.end, "pad_token": form.pad}
    if form.bos is not None:
        roles["bos_token"] = form.bos
    others = [token for token in form.specials if token not in roles.values()]
    if form.named:
        roles["model_specific_special_tokens"] = dict(form.named)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=others, **roles,
        model_max_length=512, clean_up_tokenization_spaces=False, padding_side="right",
    )  # fmt: skip


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the id of a token of the vocabulary."""
    number = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(number, int), token
    return number


def greedy(end: int, pad: int) -> GenerationConfig:
    """Default generation settings of a reference VLM: one short answer, greedily."""
    return GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=False, max_new_tokens=16)


def save(model: PreTrainedModel, processor: ProcessorMixin, folder: Path) -> None:
    """Write the model folder. Weights are stored as float16 (half the size) and load as float32, the dtype in the config."""
    with no_bars():
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = folder / "model.safetensors"
    halves = {name: tensor.to(torch.float16) for name, tensor in load_file(weights).items()}
    save_file(halves, weights, metadata={"format": "pt"})
