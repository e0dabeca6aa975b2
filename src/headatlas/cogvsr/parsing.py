"""Read a model's free text as the answer to a question: yes or no, one of some options, a number, or a short text.

Words are matched whole ("notice" is not "no"). A text that refuses, hedges between two answers or names none is *unparsable*
(None): an outcome of its own, never a wrong "no". Thoughts are removed first; a thought that was cut off answers nothing.
The rules, in order: the text is exactly an option; an explicit clause ("the answer is ..."); a refusal; the whole text, if it
names one answer only; its opening ("Left, because ..."); its conclusion ("so, left").
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from headatlas.cogvsr._words import NUMBER_WORD, canon, numbers, plain, short, tokens, variants
from headatlas.cogvsr.thoughts import without_thoughts
from headatlas.errors import HeadAtlasError

__all__ = ["matches", "parse", "without_thoughts"]

_YES = {"yes", "yeah", "yep", "yup", "true", "correct", "indeed", "certainly", "definitely", "absolutely"}
_NO = {"no", "nope", "nah", "false", "incorrect", "negative", "wrong"}
_CHINESE = dict.fromkeys(("\u662f", "\u662f\u7684", "\u5bf9", "\u5bf9\u7684", "\u6b63\u786e"), "yes") | dict.fromkeys(
    ("\u5426", "\u4e0d", "\u4e0d\u662f", "\u4e0d\u5bf9", "\u9519", "\u9519\u8bef"), "no"
)
"""Yes and no as whole replies in Chinese."""
_NOT = {"not", "no", "never", "neither", "nor", "none"}
_CLAUSE = re.compile(
    r"\b(?:answer|choice|option)(?: (?:to|for) [^.:\n]{1,60}?)?\s*"
    r"(?:is|are|was|would be|should be|must be|will be|:|=|-(?=\s))\s*:?\s*([^\n]+)"
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
_AMOUNT = r"(?:-?\.?\d|" + NUMBER_WORD + r")"
_BOUND = re.compile(
    r"\bor (?:more|less|fewer|so)\b|\d\s*\+(?!\s*[\d.])|[<>\u2264-\u2267]=?\s*-?\d"
    r"|\b(?:(?:more|less|fewer|greater|higher|lower|larger|smaller) than|at (?:the )?(?:very )?(?:least|most)|up to"
    r"|(?:min|max)imum(?: of)?"
    rf"|over|under|above|below|exceed(?:s|ing)?|between)\s+(?:about\s+)?{_AMOUNT}"
    rf"|{_AMOUNT}\s+(?:at (?:the )?(?:least|most)|max|min)\b"
)
"""A number that only bounds the answer, such as "at least 3"."""
_DENIED_NUMBER = re.compile(rf"\bnot (?:exactly |just |quite )?{_AMOUNT}[\w.,]*")
_RETRACTED = re.compile(
    r"(?:^|[.!?;,\n])\s*(?:no,? |but |hmm,? |oh,? )?(?:wait|actually|correction|scratch that|on second thought|let me re\w*)\b"
)
_LONGEST = 20_000
"""Characters of a reply, without thoughts, that are read; a longer one is unparsable."""
_LENGTH = re.compile(r"\d\s*(?:(milli|centi|kilo|)met(?:er|re)s?|([mck]?)m)\b")
_METERS = {"": 1.0, "milli": 1e-3, "m": 1e-3, "centi": 1e-2, "c": 1e-2, "kilo": 1e3, "k": 1e3}

Reader = Callable[[str, tuple[str, ...], dict[str, int]], "str | None"]


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
    said = plain(text) if len(text) <= 10 * _LONGEST else ""
    if len(said) > _LONGEST or not re.search(r"[^\W_]", said):
        return None
    shown, said, letters = _label(said, options)
    found = _find(said, answer_type, shown, letters)
    return options[shown.index(found)] if found in shown and answer_type not in ("yes_no", "number") else found


def _find(said: str, answer_type: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    """`_parse` of plain text; `letters` says which option each letter stands for."""
    read = _READERS[answer_type]
    exact = _exact(said, options)
    if exact is not None:
        return read(plain(exact), (), {}) if answer_type in ("yes_no", "number") else exact
    clauses = list(_CLAUSE.finditer(said))
    if clauses:
        clause = _sentence(clauses[-1][1])
        if _RETRACTED.search(said[clauses[-1].start(1) + len(clause) :]):
            return None
        found = _exact(clause, options) or read(clause, options, letters)
        if found is not None:
            return found
    if _REFUSAL.search(said):
        return None
    found = read(_IDIOM.sub("", said), options, letters)
    if found is None and (conclusions := _CONCLUSION.findall(said)):
        found = read(_sentence(conclusions[-1]), options, letters)
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


def _yes_no(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    if options and (chosen := _letter(text, options, letters)) is not None:
        return _yes_no(plain(chosen), (), {})
    if (whole := text.strip(" .!?,")) in _CHINESE:
        return _CHINESE[whole]
    if re.search(r"\b(?:yes\s*(?:/|or|and)\s*no|neither)\b|\bnot (?:\w+ )?yes\b", text):
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


def _choice(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    lettered = _letter(text, options, letters)
    if lettered is not None:
        return lettered or None
    named = _named(text, options, letters)
    if len(named) == 1:
        return options[named.pop()]
    rest = text[len(_opening(text)) :].strip(" ,;:.!?\n-")
    if _exact(rest, options):
        return None
    opening = _MODEST.sub("", _opening(text))
    return _exact(opening, options) or _hinted(text, options) or (None if named else _other(text, options, letters))


def _hinted(text: str, options: tuple[str, ...]) -> str | None:
    """The one option that a few words are a part of, and of no other: "the blue one" of "blue sphere" and "red cube"."""
    said = {w for w in tokens(_MODEST.sub("", text)) if w not in (",", "1", "it", "is")}
    meant = [o for o in options if said <= set(tokens(plain(o)))]
    telling = {w for w in said - _GLUE if not re.fullmatch(r"[a-z]|label[a-z]x", w)}
    return meant[0] if len(meant) == 1 and telling else None


def _other(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    """Of two options, the one that is left when a text does nothing but deny the other: "It isn't on the left"."""
    if (
        len(options) != 2
        or len(re.findall(r"\bnot\b", text)) != 1
        or re.search(r"\b(?:nor|neither|never|only)\b", text)
    ):
        return None
    affirmed = _named(re.sub(r"\bnot\b", " ", text), options, letters)
    return options[1 - affirmed.pop()] if len(affirmed) == 1 else None


def _number(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    if options and (chosen := _letter(text, options, letters, digits=False)):
        return _number(plain(chosen), (), {})
    if _BOUND.search(text):
        return None
    if len(re.findall(_ITEM, text)) > 1:  # a numbered list: its numbers count nothing
        text = re.sub(_ITEM, " ", text)
    text = _DENIED_NUMBER.sub(" ", text)
    outside = re.sub(r"\([^)]*\)", " ", text)
    opening = _opening(text)
    if numbers(text[len(opening) :].lstrip(" ,;:")[:1]):  # "2, 5" and "3 dogs, 2 cats" give two numbers
        opening = ""
    for part in (text.rpartition("=")[2] if "=" in text else "", text, outside, _total(text), opening):
        found = set(numbers(part))
        if len(found) == 1 and math.isfinite(value := found.pop()):
            return str(int(value)) if value == int(value) else f"{value:.12g}"
    return None


def _text(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    if options and (chosen := _choice(text, options, letters)) is not None:
        return chosen
    line = _sentence(text)
    line = re.sub(r"^(?:it|this|that|they|these|there|he|she) (?:is|are|was|were)\s+", "", line)
    predicate = re.sub(r"^[\w\s'-]{1,60}?\b(?:is|are|was|were|looks|appears)\s+", "", line)
    words = short(predicate if 0 < len(short(predicate).split()) <= 5 else line)
    return words if words and len(words.split()) <= 20 else None


_READERS: dict[str, Reader] = {"yes_no": _yes_no, "choice": _choice, "number": _number, "text": _text}


def _exact(text: str, options: tuple[str, ...]) -> str | None:
    """The option that the text is, word for word, else by synonym if only one is meant."""
    if re.search(r"^\W*[a-z][).:]|\([a-z]\)", text):  # a letter and words must agree: see _letter
        return None
    said = short(text)
    same = [o for o in options if short(o) == said]
    if not same and said:
        same = [o for o in options if canon(o) == canon(text)]
    return same[0] if len(same) == 1 else None


_BEFORE = re.compile(
    r"(?:^|[:;.,\n(=]\s*|\b(?:choose|chose|pick|picked|select|selected|with|say|is|be|so|therefore|thus|hence|option|choice"
    r"|answer|letter)\s+(?:the\s+)?(?:option\s+|choice\s+|letter\s+|answer\s+)?)$"
)
_AFTER = re.compile(r"\s*(?:$|[.,;:!?\n]|- |because\b|since\b|is (?:correct|right)\b)")
_TWO_LETTERS = re.compile(r"(?<![\w'-])\(?[a-z]\)?\s*(?:,|/|&|\band\b|\bor\b)\s*\(?[b-z]\)?(?![\w'-])")


def _letter(text: str, options: tuple[str, ...], letters: dict[str, int], digits: bool = True) -> str | None:
    """The option that a letter (or a number in a list) stands for; "" if the text contradicts itself; None without a letter.

    A letter counts in brackets, or between what comes before an answer and what comes after it: "I pick B.", not "a dog".
    """
    start = re.match(r"\(?(\d)(?:\)|[).:,]|$)(?:\s|$)", text)
    if digits and start and not any(numbers(plain(o)) for o in options) and 0 < int(start[1]) <= len(options):
        return _agreed(text[start.end() :], int(start[1]) - 1, options, letters)
    if not letters:
        return None
    listed = [m for m in _TWO_LETTERS.finditer(text) if len(set(re.findall(r"\b[a-z]\b", m[0])) & set(letters)) > 1]
    if listed:
        return ""
    chosen: set[int] = set()
    denied: set[int] = set()
    rest = text
    for found in re.finditer(r"(?<![\w'-])(\()?([a-z])(\))?(?![\w'-])", text):
        if found[2] not in letters:
            continue
        before, after = text[: found.start()], text[found.end() :]
        bare = before if not re.search(r"\bnot $", before) else before[:-4]
        if not (found[1] and found[3]):
            ends = found[3] or _AFTER.match(after)
            begins = _BEFORE.search(bare[-40:])
            spelled = not before.strip() and _exact(_opening(after), options) == options[letters[found[2]]]  # "B right"
            if not (begins and ends) and not spelled:
                continue
            if found[2] == "i" and re.search(r"\w", before + after):  # the pronoun
                continue
        (denied if _DENIED.search(before[-60:]) else chosen).add(letters[found[2]])
        rest = f"{rest[: found.start()]}{' ' * len(found[0])}{rest[found.end() :]}"
    if len(chosen) > 1 or chosen & denied:
        return ""
    if not chosen:
        other = len(options) == 2 and len(denied) == 1 and not _named(rest, options, letters)
        return options[1 - denied.pop()] if other else None
    return _agreed(re.split(r"\b(?:because|since)\b", rest)[0], chosen.pop(), options, letters)


def _agreed(rest: str, chosen: int, options: tuple[str, ...], letters: dict[str, int]) -> str:
    """The chosen option, or "" if the rest of the text names others and not this one."""
    opening = _exact(_opening(rest), options)
    named = {options.index(opening)} if opening else _named(rest, options, letters)
    return "" if named and chosen not in named else options[chosen]


_LONE = re.compile(r"(?<![\w'])[a-z](?![\w'])")
_NO_NOUN = re.compile(
    r"\s*(?:$|[^\w\s]|\n|(?:is|was|are|has|appears|looks|seems|lies|and|or|nor|than|because|since|rather)\b)"
)
"""What may follow a letter, and not an article."""


def _label(text: str, options: tuple[str, ...]) -> tuple[tuple[str, ...], str, dict[str, int]]:
    """Options and plain text without the ambiguity of letters: (options to look for, text to look in, letter -> option).

    Options with letters of their own ("A. left") are looked for without them. In options that differ by a letter ("Point A" and
    "Point B"), and in the text where it is no article, that letter becomes a word of its own.
    """
    shown = [plain(option) for option in options]
    order = {chr(ord("a") + i): i for i in range(min(len(options), 26))}
    marked = [re.match(r"\(?([a-z])(?:\)|[.):])\s*(\S.*)$", option, re.DOTALL) for option in shown]
    if len(options) > 1 and all(marked):
        own = {found[1]: i for i, found in enumerate(marked) if found}
        bodies = tuple(found[2] for found in marked if found)
        if len(own) == len(set(bodies)) == len(options):
            return bodies, text, own
    found = [_LONE.findall(re.sub(r"\ba (?=[b-z]\b(?!'))", "", option)) for option in shown]
    if not any(set(letters) - {"a", "i"} for letters in found):
        return options, text, order
    every = {letter for letters in found for letter in letters}
    inner = {letters[0]: i for i, letters in enumerate(found) if len(letters) == 1}
    if len(inner) < 2 or len(inner) != sum(map(bool, found)):  # as in "A > B" and "B > A"
        inner = {}
    nouns = {
        noun for option in shown for noun, letter in re.findall(r"(\w+) ([a-z])(?![\w'])", option) if letter in every
    }
    alone = all(
        order.get(letter, i) == i for letter, i in inner.items()
    )  # else "B" may be the second option or "Point B"

    bare = re.fullmatch(r"\W*(?:(?:the )?(?:answer|option|choice|letter)(?: is)?)?\W*([a-z])\W*", text)
    if bare and bare[1] in every and (not inner or not alone):
        place = order.get(bare[1], -1)
        if place < 0 or bare[1] not in found[place]:
            text = ""  # by its place it means one option, by its words another
        else:
            return options, text, {bare[1]: place}

    def word(letter: str) -> str:
        return f"label{letter}x"

    def marked_text(plain_text: str) -> str:
        def replace(m: re.Match[str]) -> str:
            before, after = plain_text[: m.start()].split(), plain_text[m.end() :]
            of_noun = bool(before) and before[-1] in nouns
            article = m[0] in "ai" and not of_noun and not _NO_NOUN.match(after)
            return m[0] if m[0] not in every or article or not (alone or of_noun) else word(m[0])

        return _LONE.sub(replace, plain_text)

    rest = {letter: i for letter, i in order.items() if letter not in every}
    labels = {word(letter): i for letter, i in inner.items()} if alone else {}
    return tuple(marked_text(option) for option in shown), marked_text(text), rest | labels


def _named(text: str, options: tuple[str, ...], letters: dict[str, int]) -> set[int]:
    """Which options the text names and does not deny. A longer name hides the shorter ones inside it."""
    forms = [variants(option) for option in options]
    owners: dict[str, set[int]] = {}
    for i, phrases in enumerate(forms):
        for phrase in phrases:
            owners.setdefault(phrase, set()).add(i)
    for i, option in enumerate(options):  # an option's own words are its own, whatever they are a synonym of
        owners[" ".join(w for w in tokens(plain(option)) if w != ",")] = {i}
    words = tokens(text)
    for label, i in letters.items():
        others = set(tokens(plain(options[i]))) - {label, "is", "are"}
        if len(label) > 1 and (len(others) <= 1 or others <= set(words)):  # a labelled option, by its label alone
            owners.setdefault(label, set()).add(i)
    said, found = " ".join(words), set()
    for phrase in sorted((p for p in owners if p), key=len, reverse=True):
        pattern = re.compile(rf"(?<!\S){re.escape(phrase)}(?!\S)")
        for m in pattern.finditer(said):
            before = said[max(0, m.start() - 200) : m.start()].split(",")[-1]
            denied = _DENIED.search(before) or re.match(r" (?:is |are )?not\b", said[m.end() : m.end() + 10])
            if not denied and len(owners[phrase]) == 1:
                found |= owners[phrase]
        said = pattern.sub(" ".join("#" for _ in phrase.split()), said)
    return found


def _total(text: str) -> str:
    """The few words around "in total" and the like."""
    m = re.search(
        r"(?<!\S)((?:[^\s,;]{1,40}\s+){1,4})(?:in total|altogether|in all|overall)\b"
        r"|\btotal (?:\w+ )?(?:of|is|:)\s*((?:\S+\s*){1,2})",
        text,
    )
    return (m[1] or m[2]) if m else ""
