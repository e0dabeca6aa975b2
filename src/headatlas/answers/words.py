"""Normalise short English answers: plain text, tokens, spatial synonyms and numbers."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata

from headatlas.answers.thoughts import without_thoughts

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
    """Lower-case text without thoughts, tags, markdown, quotes or contractions; sentence punctuation and newlines stay."""
    text = without_thoughts(text) or ""
    if _CHECKED.search(text):
        text = _CHECKED.sub("", _UNCHECKED.sub("", text))
    text = _UNSEEN.sub("", text)
    text = unicodedata.normalize("NFKC", _VULGAR.sub(r" \g<0>", text)).replace("\u2044", "/")
    text = _ANSWER_TAG.sub(r" the answer is \2\n", text)
    text = re.sub(r"<\s*([A-Za-z])\s*>", r"(\1)", _EMPHASIS.sub(r" \2 ", _SPECIAL.sub(" ", text)))
    for old, new in _PUNCTUATION:
        text = text.replace(old, new)
    text = _ASIAN_CHOICE.sub(r" the answer is \1. ", _ASIAN_DENIAL.sub(r" not \1 , ", text))
    for _ in range(4):  # commands inside commands
        text = _LATEX.sub(r"\1", text)
    text = _BOXED.sub(lambda box: f"{box[1]}{box[2]}" if box[1] else f"the answer is {box[2]}\n", text)
    text = re.sub(r"\{\s*([A-Za-z])\s*\}", r"(\1)", text)
    text = _STRUCK.sub(" ", text)
    text = re.sub(r"[*_`\"“”$#{}]|\\[()\[\]]", " ", text).lower()
    text = re.sub(r"(?<!\w)'([^'\n]{1,60})'(?!\w)", r"\1", text)
    for old, new in _CONTRACTIONS:
        text = text.replace(old, new)
    text = re.sub(r"\b(it|that|there|here|he|she|what)'s\b", r"\1 is", text)
    text = re.sub(r"\b(i|we|you)'d\b", r"\1 would", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def tokens(text: str) -> list[str]:
    """Words of `plain` text without articles, in the singular, number words as digits; each run of punctuation becomes ','."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s'-]+|\n", text.replace("-", " "))
    out = (_token(w) if w[0].isalnum() else "," for w in words if w not in _ARTICLES)
    return list(out)


def short(text: str) -> str:
    """Plain text without articles and punctuation: `The red car.` becomes `red car`."""
    return " ".join(w for w in re.findall(r"-?\d+(?:\.\d+)?|[^\W_]+(?:'[^\W_]+)?", plain(text)) if w not in _ARTICLES)


def canon(text: str) -> str:
    """One form for all synonyms of a short answer: `to the left of` -> `left`, `on top of` -> `above`, `two cars` -> `2 car`."""
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
    """The cardinal numbers in plain text, in order, from digits and words; `no dogs` and `none` are 0.

    `one` counts beside other numbers only where it is added to them (it may be a pronoun), an ordinal only if there is no
    cardinal. `1,000` is a thousand, `2,5` is 2.5. Digits that are not a valid number, such as `1.000,5` or `3/0`, give NaN.
    """
    if (whole := text.strip(" .,!?").rstrip("\u4e2a\u53ea")) in _CHINESE:
        return [_CHINESE[whole]]
    text = _HALF.sub(_halves, _DOZEN.sub(_dozens, text))
    found: list[tuple[int, float]] = []
    ordinals: list[float] = []
    for m in _DIGITS.finditer(text):
        values = _written(m["number"] + (m["power"] or ""))
        if m["below"]:
            values = [values[0] / float(m["below"]) if float(m["below"]) else math.nan]
            if m["whole"]:
                values = [float(m["whole"]) + values[0]]
        values = [-value if m["minus"] else value for value in values]
        ordinals += values if m["ordinal"] else []
        found += [] if m["ordinal"] else [(m.start(), value) for value in values]
    weak: list[float] = []
    for m in _WORDS.finditer(text):
        values = [-value if m["minus"] else value for value in _spelled(m["words"])]
        if m[0] == "one" and not (
            _ADDED_BEFORE.search(text[max(0, m.start() - 80) : m.start()]) or _ADDED_AFTER.match(text[m.end() :])
        ):
            weak += values
        else:
            found += [(m.start(), value) for value in values]
    if found:
        return [value for _, value in sorted(found, key=lambda one: one[0])]
    if weak:
        return weak
    for pattern, value in ((r"\bdozen\b", 12.0), (r"\b(?:a couple|a pair)\b", 2.0), (r"\ba single\b", 1.0)):
        if re.search(pattern, text):
            return [value]
    if re.search(r"\bnone\b|\bno (?!one\b|idea\b|doubt\b|image\b|way\b)[a-z]+|\bnot any\b", text):
        return [0.0]
    return ordinals or [float(i) for w, i in _ORDINALS.items() if re.search(rf"\b{w}\b", text)]


def _dozens(found: re.Match[str]) -> str:
    """`two dozen` as digits."""
    if found["half"]:
        return "6"
    count = found["count"]
    return str(12 * (int(count) if count.isdigit() else _NUMBERS.get(count, 1)))


def _halves(found: re.Match[str]) -> str:
    """`two and a half` and `one half` as digits."""
    whole = found["whole"]
    return f"{(float(whole) if whole.isdigit() else _NUMBERS[whole]) + 0.5:g}" if whole else "0.5"


def _written(digits: str) -> list[float]:
    """The numbers in a run of digits, points and commas; NaN if it is not valid."""
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    elif re.fullmatch(r"\d+,\d{1,2}|0,\d+", digits):
        digits = digits.replace(",", ".")
    elif re.fullmatch(r"\d+(?:,\d+)+", digits):  # "1,2,3" is a list
        return [float(part) for part in digits.split(",")]
    value = float(digits) if re.fullmatch(r"(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?", digits) else math.nan
    return [value if math.isfinite(value) else math.nan]


def _spelled(run: str) -> list[float]:
    """The numbers in a run of number words: `two hundred and five` is one number, `two three` are two."""
    values: list[float] = []
    total, group, last = 0.0, None, ""
    for word in re.split(r"[\s-]+", run):
        if word in ("and", "a"):
            if word == "and" and last not in ("hundred", *_SCALES):
                values, total, group = _flush(values, total, group), 0.0, None
        elif word == "hundred" and (group is None or group < 10):
            group = 100.0 * (1 if group is None else group)
        elif word in _SCALES and (group is not None or last in ("", "a")):
            total, group = total + _SCALES[word] * (1 if group is None else group), None
        elif word in _NUMBERS:
            value = _NUMBERS[word]
            after_tens = group is not None and group % 100 >= 20 and group % 10 == 0 and 0 < value < 10
            after_hundred = last == "hundred" or (last == "and" and group is not None and group % 100 == 0)
            joins = after_tens or after_hundred
            if group is None or joins:
                group = (group or 0.0) + value
            else:
                values, total, group = _flush(values, total, group), 0.0, float(value)
        else:
            values, total, group = [*values, math.nan], 0.0, None
        last = word
    return _flush(values, total, group)


def _flush(values: list[float], total: float, group: float | None) -> list[float]:
    return [*values, total + (group or 0.0)] if total or group is not None else values


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
_EMPHASIS = re.compile(r"<(b|strong|em|i|u|mark|code)>([^<>]{0,2000})</\1>", re.IGNORECASE)
_PHRASES = {" ".join(tokens(phrase)): group[0] for group in _GROUPS for phrase in group}
_VULGAR = re.compile(r"(?<=\d)[\u00bc-\u00be\u2150-\u215e]")
_DIGITS = re.compile(
    r"(?<![\w.])(?P<minus>(?<!\d\s)-\s?|minus\s|negative\s)?(?:(?P<whole>\d+)\s(?=\d/[2-9]))?(?P<number>\d(?:[\d.,]*\d)?|\.\d+)"
    r"(?P<power>e[+-]?\d{1,4}(?!\w))?(?:/(?P<below>\d+))?(?P<ordinal>(?:st|nd|rd|th)\b)?(?!\d|[dk]\b|x\d)"
)
_SCALES = {"thousand": 1e3, "million": 1e6}
_ANY = "|".join(sorted([*_NUMBERS, "hundred", *_SCALES], key=len, reverse=True))
NUMBER_WORD = rf"(?:{_ANY})\b"
"""Pattern of a number word."""
_WORDS = re.compile(
    rf"\b(?P<minus>minus\s|negative\s)?(?P<words>(?:a\s(?=hundred|thousand|million))?(?:{_ANY})(?:[\s-](?:and\s)?(?:{_ANY}))*)\b"
)
_CHINESE = {
    word: float(i) for i, word in enumerate("\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341")
} | {"\u4e24": 2.0}
_DOZEN = re.compile(rf"\b(?:(?P<half>half) (?:a )?|(?P<count>\d{{1,3}}|a|{'|'.join(_NUMBERS)})[ -])dozen\b")
_HALF = re.compile(rf"\b(?:(?P<whole>\d{{1,6}}|{'|'.join(_NUMBERS)}) and (?:a|one)[ -]half|(?:one|a)[ -]half)\b")
_ADDED_BEFORE = re.compile(
    rf"(?<![\w.])(?:\d+|(?!one\b){NUMBER_WORD})(?: (?!that\b|which\b|on\b|in\b)[a-z]+){{1,3}}(?:,? and| plus| \+) $"
    r"|\bthere is $"
)
_ADDED_AFTER = re.compile(
    rf"(?: (?!that\b|which\b|on\b|in\b|is\b|has\b|of\b)[a-z]+){{1,3}}(?:,? and| plus| \+) (?:\d+|(?!one\b){NUMBER_WORD})"
)
"""What makes `one` a number: "one dog and two cats"."""
_BOXED = re.compile(r"(\b(?:not|than|instead of)\s+)?\\f?boxed?\s*\{([^{}]*)\}", re.IGNORECASE)
"""LaTeX's box around an answer; the last one counts, so each ends its line. One that is denied is none."""
_CHECKED = re.compile(r"^[ \t]*[-*+]?[ \t]*(?:\[[xX]\]|\([xX]\)|\u2611)[ \t]+", re.MULTILINE)
_UNCHECKED = re.compile(r"^[ \t]*[-*+]?[ \t]*(?:\[ ?\]|\( ?\)|\u2610)[ \t]+.*$", re.MULTILINE)
"""Lines of a list with boxes to tick: "- [x] left"."""
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(s|del|strike)>[^<>\n]{1,200}</\1>", re.IGNORECASE)
_ANSWER_TAG = re.compile(
    r"<\s*(answer|final_answer|conclusion|response|output)\s*>\s*(.*?)\s*(?:</\s*\1\s*>|$)", re.DOTALL | re.IGNORECASE
)
_LATEX = re.compile(r"\\(?:text|math|mbox|operatorname)(?:rm|bf|it|sf|tt)?\s*\{([^{}]*)\}|\\(?:rm|bf|it)\b\s*")
_ASIAN_DENIAL = re.compile(
    r"[\u4e0d\u522b\u975e\u52ff\u6ca1](?:[\u80fd\u8981\u4f1a\u53ef\u8be5]|\u5e94\u8be5?)?(?:\u9009\u62e9|\u9009|\u662f)\s*\(?([A-Z])\)?(?![A-Za-z])"
)
"""Chinese for "not A"."""
_ASIAN_CHOICE = re.compile(
    r"(?:(?:\u7b54\u6848|\u9009\u9879|\u9009\u62e9|\u5e94\u9009|\u6545\u9009|\u9009|\u800c\u662f)"
    r"(?:\u662f|\u4e3a|\u9009|\u5e94\u4e3a)?"  # Chinese
    r"|(?:\u7b54\u3048|\u6b63\u89e3|\u56de\u7b54)\u306f"  # Japanese
    r"|(?:\uc815\ub2f5|\ub2f5)(?:\uc740|\uc774)?)"  # Korean
    r"\s*:?\s*\(?([A-Z])\)?(?![A-Za-z])(?!\s*(?:\u3067\u306f|\u3058\u3083|\u304b|\uac00|\uc774 \uc544))"
)
"""A clause that gives a letter; not one that denies or asks for it."""
_UNSEEN = re.compile("[\u2705\u2611\u2714\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0e\ufe0f\ufeff]")
"""Characters without a width, and ticks."""
_PUNCTUATION = (
    ("\u2019", "'"), ("\u2018", "'"), ("\u2212", "-"), ("\u2013", "-"), ("\u2014", " ; "), ("\u3002", ". "), ("\u3001", ", "),
    ("[", "("), ("]", ")"), ("\u3010", "("), ("\u3011", ")"), ("\u300c", "("), ("\u300d", ")"),
)  # fmt: skip
