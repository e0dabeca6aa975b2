"""Remove the thoughts of a reasoning model from its reply, in every common notation.

Also removed are thoughts whose opening tag was part of the prompt, and thoughts that the reply broke off.
"""

from __future__ import annotations

import re

_NAMES = (
    r"(?:[a-z]+[:_])?(?:think(?:ing|s)?|thoughts?|reason(?:ing|s)?|reflect(?:ion)?|rationale|analysis|scratch_?pad|cot"
    r"|(?:longcat|inner|internal)_(?:think|thoughts?|thinking|monologue)|chain[_-]of[_-]thought|deliberation|monologue"
    r"|(?:thought|thinking|reasoning)[_ -]?(?:process|chain|content|trace)|think_?(?:fast|slow|faster|tag)|ponder(?:ing)?"
    r"|plan(?:ning)?|internal|\u601d\u8003|\u63a8\u7406)"
)
_LEFT, _RIGHT = r"(?:\\?[<\uff1c]|&lt;)", r"(?:\\?[>\uff1e]|&gt;)"
_BAR = r"[|\uff5c]"
_OPEN = (
    rf"{_LEFT}\s*{_NAMES}(?:\s+[a-z_-]+\s*=[^<>\n]{{0,200}}|\s*){_RIGHT}"
    r"|\[\s*(?:think(?:ing)?|thoughts?|reasoning)\s*\](?!\()"
    rf"|\u25c1\s*{_NAMES}\s*\u25b7"
    rf"|<{_BAR}\s*(?:(?:begin|start)[_\u2581]of[_\u2581]|start[_\u2581])?{_NAMES}(?:[_\u2581](?:begin|start))?\s*{_BAR}>"
    rf"|<{_BAR}im_start{_BAR}>\s*(?:think(?:ing)?|reasoning|analysis)\b"
    rf"|<{_BAR}inner_prefix{_BAR}>|<{_BAR}channel>(?:\s*(?:thought|analysis))?|<unused94>(?:\s*thought)?"
    r"|(?:\A\s*)here(?: is|['\u2019]s) my thought process\s*:"
)
_CLOSE = (
    rf"{_LEFT}\s*\\?/\s*{_NAMES}\s*{_RIGHT}"
    r"|\[\s*/\s*(?:think(?:ing)?|thoughts?|reasoning)\s*\]"
    rf"|\u25c1\s*/\s*{_NAMES}\s*\u25b7"
    rf"|<{_BAR}\s*/\s*{_NAMES}\s*{_BAR}>"
    rf"|<{_BAR}\s*end[_\u2581](?:of[_\u2581])?{_NAMES}\s*{_BAR}>|<{_BAR}\s*{_NAMES}[_\u2581]end\s*{_BAR}>"
    rf"|<{_BAR}im_start{_BAR}>\s*(?:answer|final)\b"
    rf"|<{_BAR}inner_suffix{_BAR}>|<channel{_BAR}>|<unused95>|here(?: is|['\u2019]s) my response\s*:"
)
_EMPTY = re.compile(rf"{_LEFT}\s*{_NAMES}\s*/\s*{_RIGHT}", re.IGNORECASE)
_MARK = re.compile(rf"(?P<close>{_CLOSE})|(?P<open>{_OPEN})", re.IGNORECASE)
_FOLDED = (
    r"<details[^<>]{0,80}reasoning[^<>]{0,80}>"
    r"|<details[^<>]{0,80}>\s*<summary[^<>]{0,80}>[^<>]{0,80}(?:think|thought|reason)[^<>]{0,80}</summary>"
)
_DETAILS = re.compile(rf"(?:{_FOLDED})(?:(?!<details).)*?</details>", re.IGNORECASE | re.DOTALL)
_FENCE = re.compile(
    r"```\s*(?:think(?:ing)?|thoughts?|reasoning)[ \t]*\n.*?(?:(?P<whole>```)|\Z)", re.IGNORECASE | re.DOTALL
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|start|channel|call)\|>")
_TOKEN = re.compile(r"</?s>|<\|[^|<>]{1,40}\|>|<(?:bos|eos|pad|end_of_turn|eot)>", re.IGNORECASE)


def without_thoughts(text: str) -> str | None:
    """The part of a reply that is meant for the reader.

    Understood are tags (`<think>`, `<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, ...), `[THINK]`, Kimi's
    `\u25c1think\u25b7`, Cohere's and OpenThinker's `<|START_THINKING|>` and `<|begin_of_thought|>`, Gemma's `<|channel>thought`,
    Granite's "Here is my thought process:", s1's `<|im_start|>think`, folded details, fenced
    blocks, and the channels of gpt-oss (harmony), with or without their special tokens.

    Args:
        text: a whole reply, as the model wrote it.

    Returns:
        What stands after the last thought, or before it if nothing follows; `text` itself if it holds no thought. None if
        the reply ended inside a thought, or consists of thoughts only.
    """
    if "<|channel|>" in text:
        return _final_channel(text)
    if re.match(r"\s*(?:assistant\s*)?analysis[A-Z\"'(\d]", text):  # harmony whose special tokens were left out
        _, found, final = text.rpartition("assistantfinal")
        return (final.strip() or None) if found else None
    text = _DETAILS.sub("<think></think>", _EMPTY.sub("<think></think>", text)) if "<" in text else text
    text = re.sub(_FOLDED, "<think>", text, flags=re.IGNORECASE) if "<details" in text.lower() else text
    if "```" in text:
        text = _FENCE.sub(lambda found: "<think></think>" if found["whole"] else "<think>", text)
    marks = list(_MARK.finditer(text))
    if not marks:
        return text
    if marks[-1]["open"]:
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    gaps = [text[mark.end() : end] for mark, end in zip(marks, ends, strict=True) if mark["close"]]
    before = [text[: marks[0].start()]] if marks[0]["open"] else []  # else the opening tag stood in the prompt
    visible = [gap for gap in [*before, gaps[-1]] if _TOKEN.sub("", gap).strip()]
    return visible[-1].strip() if visible else None


def _final_channel(text: str) -> str | None:
    """The last message in the channel `final` of a harmony reply."""
    finals = [match for match in _CHANNEL.finditer(text) if match[1].lower() == "final"]
    if not finals:
        return None
    message = _CHANNEL_END.split(text[finals[-1].end() :], maxsplit=1)[0].strip()
    return message or None
