"""What has to be told about a family to make its real processor small: its special tokens, its chat form, its picture sizes.

Data only; the table is families.py, what is made of an entry is build.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Real:
    """One family with its own processor class.

    Attributes:
        family: model type, one of `FAMILIES`.
        processor: name of the processor class.
        template: the family's chat form as a Jinja template, written by us; None where the class or HeadAtlas brings one.
        specials: the special tokens, in the order of their numbers.
        eos, pad, bos: which of them (or None) the tokenizer calls so.
        ends: tokens that end generation, by default `eos` alone.
        pieces: the tokenizer is of the SentencePiece kind (blanks are `▁`), not byte-level.
        words: tokens that are added, but are no special ones.
        named: special tokens by the names under which the processor asks the tokenizer for them.
        ids: keys of the model's configuration and the tokens whose numbers they hold.
        images, videos: names of the image and the video processor class.
        image_settings: arguments of the image processor, and of the video processor where it takes them.
        settings: arguments of the processor.
        config: values merged into the tiny configuration.
        placeholder: the token that stands for one piece of a picture in the text; None where none does.
    """

    family: str
    processor: str
    specials: tuple[str, ...]
    eos: str
    pad: str
    images: str
    template: str | None = None
    bos: str | None = None
    ends: tuple[str, ...] = ()
    pieces: bool = False
    words: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    videos: str | None = None
    image_settings: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    placeholder: str | None = None


def turns(
    user: str,
    assistant: str,
    *,
    picture: str,
    opening: str = "",
    user_end: str = "",
    assistant_end: str = "",
    trim: bool = False,
) -> str:
    """A chat form in which every turn is its role's opening, its parts in order, and its role's end.

    The arguments are text; line ends and quotes need no care.
    """
    said = "part['text'] | trim" if trim else "part['text']"
    return (
        f"{{{{ {opening!r} }}}}{{% for message in messages %}}{{% set own = message['role'] == 'assistant' %}}"
        f"{{{{ {assistant!r} if own else {user!r} }}}}"
        f"{{% for part in message['content'] %}}{{{{ {picture!r} if part['type'] == 'image' else {said} }}}}{{% endfor %}}"
        f"{{{{ {assistant_end!r} if own else {user_end!r} }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {assistant!r} }}}}{{% endif %}}"
    )
