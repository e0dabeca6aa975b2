"""Settings and chat templates that several family entries share."""

from typing import Any

CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML: dict[str, Any] = {
    "user": "<|im_start|>user\n",
    "assistant": "<|im_start|>assistant\n",
    "user_end": "<|im_end|>\n",
    "assistant_end": "<|im_end|>\n",
}
"""Arguments of `turns` for the ChatML form."""


def square(side: int) -> dict[str, int]:
    """A square picture, `side` pixels wide and high."""
    return {"height": side, "width": side}


def area(side: int) -> dict[str, int]:
    """Sizes of pictures of 4 to 64 image tokens, each token `side` pixels wide and high."""
    return {"shortest_edge": 4 * side**2, "longest_edge": 64 * side**2}


def mrope(*sections: int) -> dict[str, Any]:
    """Multimodal rotary sections, which every checkpoint has and the classes' defaults lack."""
    return {"text_config": {"rope_parameters": {"mrope_section": list(sections)}}}


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
    """A chat template in which every turn is its role's opening, its parts in order, and its role's end.

    The arguments are plain text; they may hold line breaks and quotes.
    """
    text = "part['text'] | trim" if trim else "part['text']"
    return (
        f"{{{{ {opening!r} }}}}{{% for message in messages %}}{{% set own = message['role'] == 'assistant' %}}"
        f"{{{{ {assistant!r} if own else {user!r} }}}}"
        f"{{% for part in message['content'] %}}{{{{ {picture!r} if part['type'] == 'image' else {text} }}}}{{% endfor %}}"
        f"{{{{ {assistant_end!r} if own else {user_end!r} }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {assistant!r} }}}}{{% endif %}}"
    )
