"""Write a checkpoint of a small model with its family's own processor, which `load_vlm` reads like any other.

The tokenizer is trained here, on sentences of CogVSR, and has the family's special tokens. Processor and image processor are
transformers' own classes, set to make small pictures. The model has random weights.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AddedToken, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError
from headatlas.families.family import FAMILIES, TinyProcessor, family_of
from headatlas.proof.build import tiny_config, tiny_model
from headatlas.transformers_bars import no_bars

VOCABULARY = 400
"""Tokens of the trained part of the vocabulary: bytes or letters, and merges of them."""


def processor_families() -> tuple[str, ...]:
    """The model types that are checked with their own processor."""
    return tuple(name for name, family in FAMILIES.items() if family.tiny_processor is not None)


def tiny_processor_of(family: str) -> TinyProcessor:
    """How the family's small processor is built.

    Raises:
        HeadAtlasError: the family has no processor entry.
    """
    entry = family_of(family).tiny_processor
    if entry is None:
        raise HeadAtlasError(
            f"family must be one with a processor entry ({', '.join(processor_families())}); got {family!r}"
        )
    return entry


def build_tokenizer(entry: TinyProcessor) -> PreTrainedTokenizerFast:
    """A tokenizer of the family's kind with its special tokens, trained on CogVSR's sentences."""
    core = _trained(entry.sentencepiece, entry.special_tokens)
    if entry.bos is not None:  # as in the checkpoints, where the tokenizer adds the beginning-of-text token
        bos_id = core.token_to_id(entry.bos)
        core.post_processor = processors.TemplateProcessing(
            single=f"{entry.bos} $A", pair=f"{entry.bos} $A {entry.bos} $B", special_tokens=[(entry.bos, bos_id)]
        )
    roles: dict[str, Any] = {"eos_token": entry.eos, "pad_token": entry.pad}
    if entry.bos is not None:
        roles["bos_token"] = entry.bos
    if entry.named_tokens:
        roles["model_specific_special_tokens"] = dict(entry.named_tokens)
    others = [token for token in entry.special_tokens if token not in roles.values()]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=others, clean_up_tokenization_spaces=False, **roles
    )
    words: list[str | AddedToken] = [AddedToken(word, special=False, normalized=False) for word in entry.added_tokens]
    tokenizer.add_tokens(words)
    return tokenizer


def build_processor(entry: TinyProcessor) -> Any:
    """The family's own processor around `build_tokenizer`."""
    parts: dict[str, Any] = {"tokenizer": build_tokenizer(entry)}
    # `image_seq_length` is not an argument of SigLIP's image processor, but PaliGemma's processor reads it there.
    arguments = {key: value for key, value in entry.image_settings.items() if key != "image_seq_length"}
    parts["image_processor"] = getattr(transformers, entry.image_processor)(**arguments)
    if "image_seq_length" in entry.image_settings:
        parts["image_processor"].image_seq_length = entry.image_settings["image_seq_length"]
    if entry.video_processor is not None:
        parts["video_processor"] = getattr(transformers, entry.video_processor)()
    if entry.template is not None:
        parts["chat_template"] = entry.template
    try:
        return getattr(transformers, entry.processor)(**parts, **entry.settings)
    except ImportError as error:
        raise HeadAtlasError(
            f"{entry.processor} needs a package that is not installed: {' '.join(str(error).split())}"
        ) from error


def build_model(family: str, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> PreTrainedModel:
    """The family's small model with random weights; its vocabulary size and token ids are those of the tokenizer."""
    entry = tiny_processor_of(family)
    config = tiny_config(family).to_dict()
    token_id = tokenizer.convert_tokens_to_ids
    size = max(len(tokenizer), VOCABULARY)
    text = config["text_config"]
    text |= {
        "vocab_size": size,
        "max_position_embeddings": 2048,
        "eos_token_id": token_id(entry.eos),
        "pad_token_id": token_id(entry.pad),
    }
    text["bos_token_id"] = None if entry.bos is None else token_id(entry.bos)
    if "vocab_size" in config:
        config["vocab_size"] = size
    for key, token in entry.config_tokens.items():
        config[key] = token_id(token)
    for key, value in entry.config.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    model = tiny_model(family, seed, CONFIG_MAPPING[family].from_dict(config))
    ends = [token_id(token) for token in (entry.end_tokens or (entry.eos,))]
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=token_id(entry.pad), bos_token_id=text["bos_token_id"]
    )
    return model


def write_checkpoint(family: str, folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Write a small model of `family` and its own processor to `folder` as a checkpoint; returns `folder`.

    Raises:
        HeadAtlasError: no such family, or its processor needs a package that is not installed.
    """
    processor = build_processor(tiny_processor_of(family))
    # A processor may add tokens of its own (PaliGemma's locations), so the model is built after it.
    model = build_model(family, processor.tokenizer, seed)
    for parameter in model.parameters():  # not `model.to`, which would make complex rotary tables real
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    with no_bars():
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _trained(sentencepiece: bool, special_tokens: tuple[str, ...]) -> Tokenizer:
    """A new tokenizer; each kind is trained once."""
    core = Tokenizer.from_str(_trained_json(sentencepiece, special_tokens))
    core.add_special_tokens(list(special_tokens))
    return core


@cache
def _trained_json(sentencepiece: bool, special_tokens: tuple[str, ...]) -> str:
    if sentencepiece:
        core = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        core.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        first = [*special_tokens, *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY + len(first), special_tokens=first, show_progress=False)
        core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    else:
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY + len(special_tokens), special_tokens=list(special_tokens), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
    core.train_from_iterator(_sentences(), trainer)
    return core.to_str()


@cache
def _sentences() -> tuple[str, ...]:
    from headatlas.scenes.build import symbolic

    questions = [scene.question for scene in symbolic(24, "P", 0)]
    return tuple(
        text for question in questions for step in question.steps for text in (question.text, step.text, step.answer)
    )


__getattr__ = old_names(__name__)
