"""A tiny model with its family's real processor, in a folder that `load_vlm` reads like any checkpoint's.

The tokenizer is trained on the spot on sentences of CogVSR and has the family's special tokens; the processor and image processor
are transformers' own classes, told to make small pictures; the model has random weights (models/build.py). Checks nothing.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AddedToken, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from headatlas.errors import HeadAtlasError
from headatlas.families.proof.build import tiny_config, tiny_model
from headatlas.families.proof.real.entry import Real
from headatlas.families.proof.real.families import REAL

VOCABULARY = 400
"""Tokens of the trained part: bytes or letters, and what is joined of them."""


def entry_of(family: str) -> Real:
    """The family's entry. Raises `HeadAtlasError` if there is none."""
    if family not in REAL:
        raise HeadAtlasError(f"expected a family with a real processor ({', '.join(REAL)}), got {family!r}")
    return REAL[family]


def real_tokenizer(entry: Real) -> PreTrainedTokenizerFast:
    """A tokenizer of the family's kind, with its special tokens, trained on CogVSR's sentences."""
    core = _trained(entry.pieces, entry.specials)
    if entry.bos is not None:  # as the checkpoints have it: the tokenizer itself puts the beginning of text in front
        number = core.token_to_id(entry.bos)
        core.post_processor = processors.TemplateProcessing(
            single=f"{entry.bos} $A", pair=f"{entry.bos} $A {entry.bos} $B", special_tokens=[(entry.bos, number)]
        )
    roles: dict[str, Any] = {"eos_token": entry.eos, "pad_token": entry.pad}
    if entry.bos is not None:
        roles["bos_token"] = entry.bos
    if entry.named:
        roles["model_specific_special_tokens"] = dict(entry.named)
    others = [token for token in entry.specials if token not in roles.values()]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=others, clean_up_tokenization_spaces=False, **roles
    )
    words: list[str | AddedToken] = [AddedToken(word, special=False, normalized=False) for word in entry.words]
    tokenizer.add_tokens(words)
    return tokenizer


def real_processor(entry: Real) -> Any:
    """The family's own processor around `real_tokenizer`."""
    parts: dict[str, Any] = {"tokenizer": real_tokenizer(entry)}
    # `image_seq_length` is no argument of SigLIP's image processor, but PaliGemma's processor reads it there.
    own = {key: value for key, value in entry.image_settings.items() if key != "image_seq_length"}
    parts["image_processor"] = getattr(transformers, entry.images)(**own)
    if "image_seq_length" in entry.image_settings:
        parts["image_processor"].image_seq_length = entry.image_settings["image_seq_length"]
    if entry.videos is not None:
        parts["video_processor"] = getattr(transformers, entry.videos)()
    if entry.template is not None:
        parts["chat_template"] = entry.template
    try:
        return getattr(transformers, entry.processor)(**parts, **entry.settings)
    except ImportError as error:
        raise HeadAtlasError(
            f"{entry.processor} needs a package that is not installed: {' '.join(str(error).split())}"
        ) from error


def real_model(entry: Real, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> PreTrainedModel:
    """The family's tiny model with random weights, its vocabulary and token numbers those of the tokenizer."""
    told = tiny_config(entry.family).to_dict()
    number = tokenizer.convert_tokens_to_ids
    size = max(len(tokenizer), VOCABULARY)
    text = told["text_config"]
    text |= {
        "vocab_size": size,
        "max_position_embeddings": 2048,
        "eos_token_id": number(entry.eos),
        "pad_token_id": number(entry.pad),
    }
    text["bos_token_id"] = None if entry.bos is None else number(entry.bos)
    if "vocab_size" in told:
        told["vocab_size"] = size
    for key, token in entry.ids.items():
        told[key] = number(token)
    for key, value in entry.config.items():
        told[key] = told[key] | value if isinstance(value, dict) else value
    model = tiny_model(entry.family, seed, CONFIG_MAPPING[entry.family].from_dict(told))
    ends = [number(token) for token in (entry.ends or (entry.eos,))]
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=number(entry.pad), bos_token_id=text["bos_token_id"]
    )
    return model


def write_real(family: str, folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Write the tiny model of `family` and its real processor to `folder` as a checkpoint, and return the folder.

    Raises:
        HeadAtlasError: no such family, or its processor needs a package that is not installed.
    """
    entry = entry_of(family)
    processor = real_processor(entry)
    # A processor may add tokens of its own (PaliGemma's places), so the model is built after it.
    model = real_model(entry, processor.tokenizer, seed)
    for parameter in model.parameters():  # not `model.to`, which would make complex rotary tables real
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _trained(pieces: bool, specials: tuple[str, ...]) -> Tokenizer:
    """A fresh tokenizer, its plain part trained once for each kind."""
    core = Tokenizer.from_str(_plain(pieces, specials))
    core.add_special_tokens(list(specials))
    return core


@cache
def _plain(pieces: bool, specials: tuple[str, ...]) -> str:
    if pieces:
        core = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        core.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        first = [*specials, *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY + len(first), special_tokens=first, show_progress=False)
        core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    else:
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY + len(specials), special_tokens=list(specials), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
    core.train_from_iterator(_sentences(), trainer)
    return core.to_str()


@cache
def _sentences() -> tuple[str, ...]:
    from headatlas.scenes.build import symbolic

    drawn = symbolic(24, "P", 0)
    texts = [
        text for made in drawn for step in made.question.steps for text in (made.question.text, step.text, step.answer)
    ]
    return tuple(texts)
