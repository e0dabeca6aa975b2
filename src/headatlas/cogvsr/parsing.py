"""What a model's words answer: a strict reading of free text as yes/no, one of some options, a number or a short text.

Knows English phrasings and answer types; knows no model and no table. Method.md (e): words are matched whole ("notice" is not
"no"), and a text that refuses, hedges between two answers or names none is *unparsable* (None), an outcome of its own, which
is never counted as a wrong "no". Rules, in order: the text is exactly an option; an explicit clause ("the answer is ...");
refusal; the whole text, if it names one answer only; its opening ("Left, because ..."); its conclusion ("so, left").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from headatlas.cogvsr._words import canon, numbers, plain, short, tokens, variants
from headatlas.cogvsr.thoughts import without_thoughts
from headatlas.errors import HeadAtlasError

__all__ = ["matches", "parse", "without_thoughts"]

_YES = {"yes", "yeah", "yep", "yup", "true", "correct", "indeed", "certainly", "definitely", "absolutely"}
_NO = {"no", "nope", "nah", "false", "incorrect", "negative", "wrong"}
_NOT = {"not", "no", "never", "neither", "nor", "none"}
_CLAUSE = re.compile(
    r"\b(?:answer|choice|option)(?: (?:to|for) [^.:\n]{1,60}?)?\s*"
    r"(?:is|are|was|would be|should be|must be|will be|:|=)\s*:?\s*([^\n]+)"
)
_CONCLUSION = re.compile(r"\b(?:so|therefore|thus|hence|in conclusion|to conclude|overall|finally)\b[,:]?\s+([^\n]+)")
_REFUSAL = re.compile(
    r"\b(?:can not|unable to|not able to|impossible to|not possible to|difficult to|hard to) (?:be )?"
    r"(?:determined?|tell|answer|say|know|identify|judge|help|assist|provide|view|analy[sz]e|infer|answered|identified|seen)\b"
    r"|\b(?:i|we) (?:can not|do not|am unable to|could not) (?:\w+ )?(?:see|know|have|find)\b|\bnot (?:entirely |really )?sure\b"
    r"|\b(?:unsure|uncertain|no idea|sorry|apologi[sz]e|as an ai|not enough information|insufficient|unclear|unknown)\b"
    r"|\bno image\b|\bimage (?:is|was) (?:not|missing)|\bn/a\b|\bdepends\b"
)
_DENIED = re.compile(
    r"\b(?:not|neither|nor|never|than|instead of|opposite of)(?: (?!but\b|rather\b)\S+){0,3} $"
    r"|\bnot (?:think|believe|say)\b[^,;]*$"
)
_HEDGE = re.compile(r"^[\s,;:.!?-]*(?:or|and|maybe|perhaps|possibly|actually|wait|no|but)\b")
_IDIOM = re.compile(
    r"\bno (?:doubt|problem|worries)\b|\bnot only\b|\b(?:that is|all) right\b|^(?:sure|okay|ok|well|great)\b[,!. ]*"
)

_MODEST = re.compile(
    r"^(?:(?:i (?:think|believe|guess|suppose|would say)|it (?:seems|looks like|appears)|probably|most likely|likely|maybe)"
    r"(?: that)?,? )(?:it is )?"
)
_GLUE = {"of", "to", "in", "on", "at", "them", "and", "or", "with", "by", "be", "that", "this"}
_ITEM = re.compile(r"^\s*\d{1,2}[.)]\s+(?=\S)", re.MULTILINE)
_BOUND = re.compile(r"\bor (?:more|less|so)\b|\b(?:more|less|fewer|greater) than\b")
_LENGTH = re.compile(r"\d\s*(?:(milli|centi|kilo|)met(?:er|re)s?|([mck]?)m)\b")
_METERS = {"": 1.0, "milli": 1e-3, "m": 1e-3, "centi": 1e-2, "c": 1e-2, "kilo": 1e3, "k": 1e3}

Reader = Callable[[str, tuple[str, ...]], "str | None"]


def parse(text: str, answer_type: str, options: Sequence[str] = ()) -> str | None:
    """The answer that `text` gives, or None if it gives none or more than one.

    Args:
        text: What a model said; may be empty, a sentence, or reasoning with a conclusion.
        answer_type: yes_no, choice, number or text: how to read it.
        options: Of a choice; letters ("B", "(b) left") stand for them in order. Without options a choice is read as text.

    Returns:
        "yes" or "no"; one of `options` exactly as given; a number as "2", "-3" or "2.5"; or lower-case words without
        articles and punctuation.

    Raises:
        HeadAtlasError: Unknown answer type.
    """
    return _parse(text, answer_type, tuple(options))


def matches(text: str, gold: str, answer_type: str, options: Sequence[str] = ()) -> bool:
    """Whether `text` answers `gold`. Unparsable text never does.

    Synonyms of spatial words agree ("on top of" and "above") unless both are options. A number must be exact if the gold
    answer is whole, else within half a unit of gold's last written digit ("2.5" accepts 2.45 to 2.55). Lengths are compared in
    metres if both texts have a unit ("150 cm" and "1.5 m"); a unit that only one has is not looked at.
    """
    return _matches(text, gold, answer_type, tuple(options))


@lru_cache(maxsize=65536)
def _matches(text: str, gold: str, answer_type: str, options: tuple[str, ...]) -> bool:
    said, right = _parse(text, answer_type, options), _parse(gold, answer_type, options)
    if said is None:
        return False
    if right is None:  # gold that no reader knows, such as a choice that is not among its options
        return canon(said) == canon(gold)
    if answer_type == "number":
        digits = gold.partition(".")[2]
        places = len(re.match(r"\d*", digits)[0]) if "." in right else None  # type: ignore[index]
        tolerance = 1e-9 if places is None else 0.5 * 10**-places + 1e-9
        unit, gold_unit = _meters(plain(text)), _meters(plain(gold))
        ratio = unit / gold_unit if unit and gold_unit else 1.0
        return abs(float(said) * ratio - float(right)) <= tolerance
    if answer_type == "yes_no" or (options and said in options and right in options):
        return said == right
    return canon(gold) in (canon(said), canon(_sentence(plain(text))))


@lru_cache(maxsize=65536)
def _parse(text: str, answer_type: str, options: tuple[str, ...]) -> str | None:
    if answer_type not in _READERS:
        raise HeadAtlasError(f"unknown answer type {answer_type!r}: expected one of {', '.join(_READERS)}")
    if answer_type == "choice" and not options:
        answer_type = "text"
    read, said = _READERS[answer_type], plain(text)
    if not re.search(r"[^\W_]", said):
        return None
    exact = _exact(said, options)
    if exact is not None:
        return read(plain(exact), ()) if answer_type in ("yes_no", "number") else exact
    clauses = _CLAUSE.findall(said)
    if clauses:
        found = _exact(_sentence(clauses[-1]), options) or read(_sentence(clauses[-1]), options)
        if found is not None:
            return found
    if _REFUSAL.search(said):
        return None
    found = read(_IDIOM.sub("", said), options)
    if found is None and (conclusions := _CONCLUSION.findall(said)):
        found = read(_sentence(conclusions[-1]), options)
    return found


def _meters(text: str) -> float | None:
    """Metres in the unit of length that follows a number in plain text; None without one, or with several."""
    units = {_METERS[long or short] for long, short in _LENGTH.findall(text)}
    return units.pop() if len(units) == 1 else None


def _sentence(text: str) -> str:
    """The first sentence."""
    return re.split(r"[.!?;](?=\s|$)|\n", text.strip(), maxsplit=1)[0].strip()


def _opening(text: str) -> str:
    """What stands before the first punctuation, unless what follows takes it back or hedges; else empty."""
    parts = re.split(r"([,;:!?\n]|\.(?=\s|$)| - |\bbecause\b|\bsince\b)", text.strip(), maxsplit=1)
    head, mark, rest = (*parts, "", "")[:3]
    return "" if mark and _HEDGE.match(rest) else head.strip()


def _yes_no(text: str, options: tuple[str, ...]) -> str | None:
    if options and (chosen := _letter(text, options)) is not None:
        return _yes_no(plain(chosen), ())
    if re.search(r"\byes\s*(?:/|or|and)\s*no\b", text):
        return None
    words = tokens(text)
    while words and words[0] == ",":
        words = words[1:]
    if not words:
        return None
    if words in (["y"], ["n"], ["y", ","], ["n", ","]):
        return "yes" if words[0] == "y" else "no"
    if words[0] in _YES | _NO:
        if words[0] in _YES and words[1:2] == ["not"]:
            return "no"
        found, other = ("yes", "no") if words[0] in _YES else ("no", "yes")
        later = re.search(
            rf"(?:[.,;!?]|\bactually|\bwait|\bbut)\s*(?:actually,?\s*|wait,?\s*)?\b{other}\b(?!\s+\w)", text
        )
        return None if later else found
    if re.search(r"\bnot (?:\w+ ){0,2}(?:true|correct|right|accurate|case|so)\b", text) and words.count("not") == 1:
        return "no"
    denials = sum(w in _NOT | _NO for w in words)
    if denials:
        return "no" if denials == 1 and not _YES & set(words) else None
    agrees = re.search(
        r"^(?:it|they|he|she|that|this|there) (?:is|are|does|do|has|have|can)\W*$|\b(?:think|believe|guess) so\b|\bthe case\b",
        text,
    )
    return "yes" if agrees or _YES & set(words) else None


def _choice(text: str, options: tuple[str, ...]) -> str | None:
    lettered = _letter(text, options)
    if lettered is not None:
        return lettered or None
    named = _named(text, options)
    if len(named) == 1:
        return options[named.pop()]
    rest = text[len(_opening(text)) :].strip(" ,;:.!?\n-")
    if _exact(rest, options):
        return None
    opening = _MODEST.sub("", _opening(text))
    return _exact(opening, options) or _hinted(text, options) or (None if named else _other(text, options))


def _hinted(text: str, options: tuple[str, ...]) -> str | None:
    """The one option that a few words are a part of, and of no other: "the blue one" of "blue sphere" and "red cube"."""
    said = {w for w in tokens(_MODEST.sub("", text)) if w not in (",", "1", "it", "is")}
    meant = [o for o in options if said <= set(tokens(plain(o)))]
    return meant[0] if len(meant) == 1 and said - _GLUE else None


def _other(text: str, options: tuple[str, ...]) -> str | None:
    """Of two options, the one that is left when a text does nothing but deny the other: "It isn't on the left"."""
    if (
        len(options) != 2
        or len(re.findall(r"\bnot\b", text)) != 1
        or re.search(r"\b(?:nor|neither|never|only)\b", text)
    ):
        return None
    affirmed = _named(re.sub(r"\bnot\b", " ", text), options)
    return options[1 - affirmed.pop()] if len(affirmed) == 1 else None


def _number(text: str, options: tuple[str, ...]) -> str | None:
    if options and (chosen := _letter(text, options, digits=False)):
        return _number(plain(chosen), ())
    if len(re.findall(_ITEM, text)) > 1:  # a numbered list: its numbers count nothing
        text = re.sub(_ITEM, " ", text)
    outside = re.sub(r"\([^)]*\)", " ", text)
    for part in (text.rpartition("=")[2] if "=" in text else "", text, outside, _total(text), _opening(text)):
        found = set(numbers(part))
        if len(found) == 1 and not _BOUND.search(part):
            value = found.pop()
            return str(int(value)) if value == int(value) else f"{value:.12g}"
    return None


def _text(text: str, options: tuple[str, ...]) -> str | None:
    if options and (chosen := _choice(text, options)) is not None:
        return chosen
    line = _sentence(text)
    line = re.sub(r"^(?:it|this|that|they|these|there|he|she) (?:is|are|was|were)\s+", "", line)
    predicate = re.sub(r"^[\w\s'-]{1,60}?\b(?:is|are|was|were|looks|appears)\s+", "", line)
    words = short(predicate if 0 < len(short(predicate).split()) <= 5 else line)
    return words if words and len(words.split()) <= 20 else None


_READERS: dict[str, Reader] = {"yes_no": _yes_no, "choice": _choice, "number": _number, "text": _text}


def _exact(text: str, options: tuple[str, ...]) -> str | None:
    """The option that the text is, word for word, else by synonym if only one is meant."""
    if re.match(r"\W*[a-z][).:]", text):  # a letter and words must agree: see _letter
        return None
    said = short(text)
    same = [o for o in options if short(o) == said]
    if not same and said:
        same = [o for o in options if canon(o) == canon(text)]
    return same[0] if len(same) == 1 else None


def _letter(text: str, options: tuple[str, ...], digits: bool = True) -> str | None:
    """The option a letter (or a number in a list) stands for; "" if letter and words disagree; None without a letter."""
    marks = r"[a-z]|\d" if digits and not any(numbers(plain(o)) for o in options) else r"[a-z]"
    text = re.sub(
        r"^(?:it is |i choose |i would say )?(?:the )?(?:correct )?(?:option|choice|answer)?\s*:?\s*", "", text.strip()
    )
    found = re.match(rf"\(({marks})\)[.:,]?\s*(.*)$|({marks})[.):,](?:\s+(.*))?$|([a-z])()$", text, re.DOTALL)
    found = found or re.match(r"([a-z])((?: is correct| is right)[.!]?)$", text)
    found = found or re.match(r"([a-z])() (?:because|since)\b", text)
    if not found and len(set(re.findall(r"\([a-z]\)", text))) == 1:  # "I would go with (b)"
        found = re.search(r"\(([a-z])\)(.*)", text, re.DOTALL)
    if not found:
        return None
    letter, rest = [*(g for g in found.groups() if g is not None), ""][:2]
    labels = [plain(o) for o in options]
    if letter in labels:
        chosen = labels.index(letter)
    elif all(len(label) == 1 and label.isalpha() for label in labels):
        return None
    else:
        chosen = int(letter) - 1 if letter.isdigit() else ord(letter) - ord("a")
    if not 0 <= chosen < len(options):
        return None
    opening = _exact(_opening(rest), options)
    named = {options.index(opening)} if opening else _named(rest, options)
    return "" if named and chosen not in named else options[chosen]


def _named(text: str, options: tuple[str, ...]) -> set[int]:
    """Which options the text names and does not deny. A longer name hides the shorter ones inside it."""
    forms = [variants(option) for option in options]
    owners: dict[str, set[int]] = {}
    for i, phrases in enumerate(forms):
        for phrase in phrases:
            owners.setdefault(phrase, set()).add(i)
    for i, option in enumerate(options):  # an option's own words are its own, whatever they are a synonym of
        owners[" ".join(w for w in tokens(plain(option)) if w != ",")] = {i}
    said, found = " ".join(tokens(text)), set()
    for phrase in sorted((p for p in owners if p), key=len, reverse=True):
        while m := re.search(rf"(?<!\S){re.escape(phrase)}(?!\S)", said):
            before = said[: m.start()].split(",")[-1]
            denied = _DENIED.search(before) or re.match(r" (?:is |are )?not\b", said[m.end() :])
            if not denied and len(owners[phrase]) == 1:
                found |= owners[phrase]
            said = said[: m.start()] + " ".join("#" for _ in phrase.split()) + said[m.end() :]
    return found


def _total(text: str) -> str:
    """The few words around "in total" and the like."""
    m = re.search(
        r"((?:[^\s,;]+\s+){1,4})(?:in total|altogether|in all|overall)\b|\btotal (?:\w+ )?(?:of|is|:)\s*((?:\S+\s*){1,2})",
        text,
    )
    return (m[1] or m[2]) if m else ""
