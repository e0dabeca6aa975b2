"""`Family`: everything HeadAtlas needs to know about one family of models, and the registry of families.

Most families need nothing: their heads are found by structure and their chats are written by their own template. A family
that needs more has an entry in `entries/`; other packages add one with `FAMILIES.add(...)` or an entry point:

    [project.entry-points."headatlas.model_families"]
    mine = "my_package.my_family"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headatlas.printing import brief
from headatlas.registry import Registry


@dataclass(frozen=True)
class ChatFormat:
    """How conversations with a family are written, where its processor and chat template are not enough.

    Attributes:
        template: the chat template (Jinja) for checkpoints without one.
        appended: text that the processor appends to every input. HeadAtlas removes it beforehand, so that it appears once.
        two_way_prefix: the image and the first request attend in both directions (token type 0), all later tokens causally
            (token type 1). The family's processor would mark the whole text as prefix, so that the model sees its answers.
    """

    template: str | None = None
    appended: str = ""
    two_way_prefix: bool = False

    __repr__ = brief


@dataclass(frozen=True)
class TinyModel:
    """How to build the family's small random model, and inputs for it, where the general rules are not enough.

    The rules are those of `proof/shrink.py` (sizes) and `proof/inputs.py` (inputs).

    Attributes:
        config_arguments: arguments of the configuration class that its defaults lack and every checkpoint has.
        config: values merged into the shrunken configuration, key by key.
        image_processor: the image processor class, where transformers lists none for the family.
        image_settings: its arguments, in addition to the sizes read from the configuration.
        nested_images: the image processor takes one list of images per row.
        picture_size: width and height of the picture in pixels.
        pixels: image inputs without a processor, by name: the shape of one row (filled with noise), or a function of the
            number of rows.
        n_image_tokens: image tokens of one picture, where the model has no `get_image_features` to count them.
        image_token: the image token, where the configuration names none.
        extra_tokens: a second special token and how often it follows the image tokens (that of a video tower, for example).
        idle: modules with attention that are not used to read pictures and text, with the reason; they are not checked.
        discrete: pictures become discrete codes, so silencing one head may change nothing.
        vision_unproven: why the vision tower of real checkpoints differs from that of the small model.
        refused: why the family is not checked at all.
    """

    config_arguments: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    image_processor: str | None = None
    image_settings: Mapping[str, Any] = field(default_factory=dict)
    nested_images: bool = False
    picture_size: tuple[int, int] = (56, 56)
    pixels: Mapping[str, Any] = field(default_factory=dict)
    n_image_tokens: int | None = None
    image_token: int | None = None
    extra_tokens: tuple[int, int] | None = None
    idle: Mapping[str, str] = field(default_factory=dict)
    discrete: bool = False
    vision_unproven: str = ""
    refused: str = ""

    __repr__ = brief


@dataclass(frozen=True)
class TinyProcessor:
    """How to build the family's own processor around a small tokenizer and small pictures.

    Attributes:
        processor, image_processor, video_processor: names of transformers' classes.
        special_tokens: in the order of their ids.
        eos, pad, bos: the special tokens with these roles; None for a tokenizer without one.
        template: the family's chat template; None where the class or HeadAtlas has one.
        end_tokens: tokens that end generation, by default `eos` alone.
        sentencepiece: whether the tokenizer is of the SentencePiece kind (blanks are `▁`) rather than byte-level.
        added_tokens: ordinary words that are single tokens.
        named_tokens: special tokens by the attribute of the tokenizer from which the processor reads them.
        config_tokens: keys of the model's configuration that hold token ids, and their tokens.
        image_settings: arguments of the image processor.
        settings: arguments of the processor.
        config: values merged into the small configuration.
        placeholder: the image token, as it stands in the text; None for families without one.
    """

    processor: str
    special_tokens: tuple[str, ...]
    eos: str
    pad: str
    image_processor: str
    template: str | None = None
    bos: str | None = None
    end_tokens: tuple[str, ...] = ()
    sentencepiece: bool = False
    added_tokens: tuple[str, ...] = ()
    named_tokens: Mapping[str, str] = field(default_factory=dict)
    config_tokens: Mapping[str, str] = field(default_factory=dict)
    video_processor: str | None = None
    image_settings: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    placeholder: str | None = None

    __repr__ = brief


@dataclass(frozen=True, repr=False)
class Family:
    """What HeadAtlas needs to know about one family of models.

    Attributes:
        model_type: transformers' name of the family, `config.model_type`.
        chat: how its conversations are written.
        broken: releases of transformers that cannot run the family, and why.
        own_positions: whether the model computes position ids itself (multimodal rotary positions). None: it does if it has
            a `get_rope_index`.
        image_grid: maps image tokens to boxes of the picture; None where no mapping is known.
        tiny_model: how to build the small model that is checked.
        tiny_processor: how to build its processor; None: the family is checked without one.
    """

    model_type: str
    chat: ChatFormat = ChatFormat()
    broken: Mapping[str, str] = field(default_factory=dict)
    own_positions: bool | None = None
    image_grid: Callable[..., Any] | None = None
    tiny_model: TinyModel = TinyModel()
    tiny_processor: TinyProcessor | None = None

    def __repr__(self) -> str:
        default = Family(self.model_type)
        own = [name for name, value in vars(self).items() if value != getattr(default, name)]
        return f"<Family {self.model_type!r}: {', '.join(own) or 'nothing of its own'}>"


FAMILIES: Registry[Family] = Registry(
    "model family", ("headatlas.families.entries.*",), plural="model families", of=Family
)
"""The families that need an entry, by model type."""


def add(*families: Family) -> None:
    """Register families under their model types; an entry that exists is replaced."""
    for family in families:
        FAMILIES.add(family.model_type, family)


def family_of(model_type: str) -> Family:
    """The entry of a model type; an empty one for a family that needs none."""
    return FAMILIES[model_type] if model_type in FAMILIES else Family(model_type)


def counts_positions(model: Any) -> bool:
    """Whether a model computes its position ids itself, from the attention mask.

    Families with multimodal rotary positions do, and must not be given plain position ids.
    """
    declared = family_of(getattr(getattr(model, "config", None), "model_type", "")).own_positions
    if declared is not None:
        return declared
    return any(hasattr(part, "get_rope_index") for part in (model, getattr(model, "model", None)))
