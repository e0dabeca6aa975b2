"""Words of answers: plain text, tokens, spatial synonyms, numbers. Knows English; knows nothing of questions or tables."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata

from headatlas.cogvsr.thoughts import without_thoughts

_GROUPS = (
    ("left", "leftward", "leftwards"),
    ("right", "rightward", "rightwards"),
    ("above", "over", "on top", "atop", "top", "upper", "higher"),
    ("below", "under", "beneath", "underneath", "bottom", "lower"),
    ("up", "upward", "upwards"),
    ("down", "downward", "downwards"),
    ("near", "close", "nearby", "close by"),
    ("nearer", "closer"),
    ("nearest", "closest"),
    ("far", "far away", "distant", "far off"),
    ("farther", "further", "farther away", "further away", "more distant"),
    ("farthest", "furthest", "most distant"),
    ("front", "in front", "ahead"),
    ("behind", "back", "rear"),
    ("inside", "within"),
    ("beside", "next to", "alongside"),
    ("middle", "center", "centre"),
    ("large", "big"),
    ("larger", "bigger"),
    ("largest", "biggest"),
    ("small", "little", "tiny"),
    ("gray", "grey"),
    ("toward", "towards"),
)
# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {w: i for i, w in enumerate(_UNITS)} | {w: 10 * i for i, w in enumerate(_TENS, 2)}
_NTH = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ORDINALS = {w: i for i, w in enumerate(_NTH, 1)}
_ARTICLES = {"a", "an", "the"}
_LEAD = {"it", "is", "to", "on", "at", "in", "toward", "its"}
_TRAIL = {"of", "side", "hand", "than", "from", "direction"}
_CONTRACTIONS = (("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("n't", " not"))


def plain(text: str) -> str:
    """Lower-case text without thinking, tags, markdown, quotes or contractions; sentence punctuation and newlines stay."""
    text = without_thoughts(text) or ""
    text = unicodedata.normalize("NFKC", _VULGAR.sub(r" \g<0>", text)).replace("\u2044", "/")
    text = re.sub(r"<answer>\s*(.*?)\s*(?:</answer>|$)", r" the answer is \1\n", text, flags=re.DOTALL | re.IGNORECASE)
    text = _SPECIAL.sub(" ", text)
    for old, new in (("’", "'"), ("‘", "'"), ("−", "-"), ("–", "-"), ("—", " ; ")):
        text = text.replace(old, new)
    text = re.sub(r"\\boxed\s*\{(?:\\text\s*\{)?([^{}]*)\}+", r"the answer is \1", text)
    text = re.sub(r"[*_`\"“”$#{}]|\\[()\[\]]", " ", text).lower()
    for old, new in _CONTRACTIONS:
        text = text.replace(old, new)
    text = re.sub(r"\b(it|that|there|here|he|she|what)'s\b", r"\1 is", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def tokens(text: str) -> list[str]:
    """Words of `plain` text without articles: singular, number words as digits; each run of punctuation is one ','."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s'-]+|\n", text.replace("-", " "))
    out = (_token(w) if w[0].isalnum() else "," for w in words if w not in _ARTICLES)
    return list(out)


def short(text: str) -> str:
    """Plain text without articles and punctuation, to be shown and compared: `The red car.` is `red car`."""
    return " ".join(w for w in re.findall(r"-?\d+(?:\.\d+)?|[^\W_]+(?:'[^\W_]+)?", plain(text)) if w not in _ARTICLES)


def canon(text: str) -> str:
    """One form for all ways to say a short answer: `to the left of` is `left`, `on top of` is `above`, `two cars` is `2 car`."""
    words = [w for w in tokens(plain(text)) if w != ","]
    return _canon(words)


def variants(option: str) -> set[str]:
    """The token strings that name an option: its own, and those with its spatial words replaced by synonyms."""
    words = [w for w in tokens(plain(option)) if w != ","]
    bare = _bare(words)
    found = {" ".join(words), " ".join(bare)}
    rep = _PHRASES.get(" ".join(bare)) or _PHRASES.get(" ".join(words))
    if rep:
        return found | {phrase for phrase, name in _PHRASES.items() if name == rep}
    same = [[w] + [p for p, name in _PHRASES.items() if name == _PHRASES.get(w) and " " not in p] for w in bare]
    if len(bare) <= 4:
        found |= {" ".join(choice) for choice in itertools.product(*same)}
    return found


def numbers(text: str) -> list[float]:
    """Cardinal numbers that plain text names, in order, digits and words; `no dogs` and `none` are 0.

    `one` counts only if there is no other number (it is also a pronoun), an ordinal only if there is no cardinal.
    """
    found: list[tuple[int, float]] = []
    ordinals: list[float] = []
    for m in _DIGITS.finditer(text):
        value = float(m["number"].replace(",", "") + (m["power"] or ""))
        if not math.isfinite(value):  # hundreds of digits
            continue
        value = value / float(m["below"]) if m["below"] and float(m["below"]) else value
        (ordinals.append(value) if m["ordinal"] else found.append((m.start(), -value if m["minus"] else value)))
    weak: list[float] = []
    for m in _WORDS.finditer(text):
        value = float(_NUMBERS[m["word"]])
        if m["unit"]:
            value += _NUMBERS[m["unit"]]
        if m["hundred"]:
            value = 100 * value + (_NUMBERS[m["rest"]] if m["rest"] else 0) + (_NUMBERS[m["last"]] if m["last"] else 0)
        value = -value if m["minus"] else value
        (weak.append(value) if m[0] == "one" else found.append((m.start(), value)))
    if found:
        return [value for _, value in sorted(found)]
    if weak:
        return weak
    for pattern, value in ((r"\bdozen\b", 12.0), (r"\b(?:a couple|a pair)\b", 2.0), (r"\ba single\b", 1.0)):
        if re.search(pattern, text):
            return [value]
    if re.search(r"\bnone\b|\bno (?!one\b|idea\b|doubt\b|image\b|way\b)[a-z]+|\bnot any\b", text):
        return [0.0]
    return ordinals or [float(i) for w, i in _ORDINALS.items() if re.search(rf"\b{w}\b", text)]


def _token(word: str) -> str:
    if word in _NUMBERS:
        return str(_NUMBERS[word])
    if re.search(r"(?:x|ch|sh|ss|z)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _bare(words: list[str]) -> list[str]:
    start, end = 0, len(words)
    while start < end and words[start] in _LEAD:
        start += 1
    while end > start and words[end - 1] in _TRAIL:
        end -= 1
    return words[start:end] or words


def _canon(words: list[str]) -> str:
    whole, bare = " ".join(words), _bare(words)
    return _PHRASES.get(whole) or _PHRASES.get(" ".join(bare)) or " ".join(_PHRASES.get(w, w) for w in bare)


_SPECIAL = re.compile(r"</?s>|<\|[^|<>]{1,40}\|>|<(?:bos|eos|pad|end_of_turn|eot)>|</?answer>", re.IGNORECASE)
_PHRASES = {" ".join(tokens(phrase)): group[0] for group in _GROUPS for phrase in group}
_DIGITS = re.compile(
    r"(?<![\w.])(?P<minus>(?<!\d\s)-\s?|minus\s|negative\s)?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<power>e[+-]?\d{1,2}(?!\w))?(?:/(?P<below>\d+))?(?P<ordinal>(?:st|nd|rd|th)\b)?(?!\d|d\b)"
)
_VULGAR = re.compile(r"(?<=\d)[\u00bc-\u00be\u2150-\u215e]")
_ANY, _UNIT = "|".join(sorted(_NUMBERS, key=len, reverse=True)), "|".join(_UNITS[1:10])
_WORDS = re.compile(
    rf"\b(?P<minus>minus\s|negative\s)?(?P<word>{_ANY})\b(?:[\s-](?P<unit>{_UNIT})\b)?"
    rf"(?P<hundred>\shundred\b(?:\s(?:and\s)?(?P<rest>{_ANY})\b(?:[\s-](?P<last>{_UNIT})\b)?)?)?"
)
