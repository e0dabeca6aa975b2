"""Read a model's free text as the answer to a question: yes or no, one of some options, a number, or a short text.

Words are matched whole ("notice" is not "no"). A text that refuses, hedges between two answers or names none is *unparsable*
(None), which is counted separately and never as a wrong "no". A reasoning model's thoughts are removed first; a reply that ends
within a thought has no answer. The rules are tried in this order:

1. the text is exactly one of the options;
2. a clause such as "the answer is ...";
3. a refusal;
4. the whole text, if it names one answer only;
5. its opening ("Left, because ...");
6. its conclusion ("so, left").
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from headatlas.answers.bounds import AMOUNT, BOUND, NOT_A_COUNT
from headatlas.answers.options import REASON, by_letter, exact_option, labelled, named_options, opening_of
from headatlas.answers.sections import answer_part, headings_as_clauses
from headatlas.answers.words import NUMBER_WORD, canon, numbers, plain, short, tokens
from headatlas.errors import HeadAtlasError

_YES = {"yes", "yeah", "yep", "yup", "true", "correct", "indeed", "certainly", "definitely", "absolutely"}
_NO = {"no", "nope", "nah", "false", "incorrect", "negative", "wrong"}
_FOREIGN: dict[str, str] = {
    **dict.fromkeys(
        ("\u662f", "\u662f\u7684", "\u5bf9", "\u5bf9\u7684", "\u6b63\u786e", "\u306f\u3044", "\uc608", "\ub124"), "yes"
    ),
    **dict.fromkeys(("oui", "si", "s\xed", "s\xec", "ja", "sim", "\u0434\u0430"), "yes"),
    **dict.fromkeys(
        ("\u5426", "\u4e0d", "\u4e0d\u662f", "\u4e0d\u5bf9", "\u9519", "\u9519\u8bef", "\u3044\u3044\u3048"), "no"
    ),
    **dict.fromkeys(("\uc544\ub2c8\uc694", "non", "nein", "nee", "nej", "n\xe3o", "\u043d\u0435\u0442"), "no"),
}
"""Yes and no as whole replies, or before a comma or full stop, in other languages."""
_NOT = {"not", "no", "never", "neither", "nor", "none"}
_ANSWER = "answer|choice|option|antwort|r\xe9ponse|respuesta|risposta|resposta|\u043e\u0442\u0432\u0435\u0442"
_CLAUSE = re.compile(
    rf"\b(?:{_ANSWER})(?: (?:to|for) [^.:\n]{{1,60}}?)?\s*"
    r"(?:(?:is|are|was|would be|should be|must be|will be|ist|lautet|est|es|\xe8|\xe9)\b|:|=|-(?=\s))\s*:?\s*([^\n]+)"
)
_CONCLUSION = re.compile(r"\b(?:so|therefore|thus|hence|in conclusion|to conclude|overall|finally)\b[,:]?\s+([^\n]+)")
_REFUSAL = re.compile(
    r"\b(?:can not|unable to|not able to|impossible to|not possible to|difficult to|hard to) (?:be )?"
    r"(?:determined?|tell|answer|say|know|identify|judge|help|assist|provide|view|analy[sz]e|infer|confirm(?:ed)?|verif(?:y|ied)|answered|identified|seen)\b"
    r"|\b(?:i|we) (?:can not|do not|am unable to|could not) (?:\w+ )?(?:see|know|have|find)\b|\bnot (?:entirely |really )?sure\b"
    r"|\b(?:unsure|uncertain|no idea|sorry|apologi[sz]e|as an ai|not enough information|insufficient|unclear|unknown)\b"
    r"|\bno image\b|\bimage (?:is|was) (?:not|missing)|\bn/a\b|\bnot applicable\b|\bdepends\b"
    r"|\bno (?:lo )?s[e\xe9]\b|\bnon (?:lo )?so\b|\bne sais pas\b|\bwei(?:\xdf|ss) (?:ich |es )?nicht\b"
)
_SHORT_CLAUSE = re.compile(
    r"\w+\W+(?:it|they|he|she|that|this|there) (?:is|are|was|were|does|do|did|has|have|can)( not)?\W*"
)
"""Yes or no and a clause that only repeats the verb of the question, with or without "not"."""
_JUDGED = re.compile(r"(yes|no)\W+(?:it|that|this) is (?:(correct|right|true)|(?:incorrect|wrong|false))\W*")
"""Yes or no and whether something is true: the two must agree."""
_DOUBLE_DENIAL = re.compile(r"\bnot (?:untrue|false|incorrect|wrong)\b")
_IDIOM = re.compile(
    r"\bno (?:doubt|problem|worries|question|objections?|wonder|contest)\b|\bnot only\b"
    r"|\b(?:that is|all) right\b|^(?:sure|okay|ok|well|great)\b[,!. ]*"
)
_CALLED_WRONG = re.compile(
    r"\b(?:yes|no) (?:would|is|was|seems|can|must|should)\b[^.,;!?]{0,20}\b(?:wrong|incorrect|false|not)\b"
)
"""About an answer, not one: "yes would be wrong"."""
_CROSSED = re.compile("[\u274c\u274e\u2716-\u2718\U0001f6ab]")
"""Signs that mark an option as wrong."""
_MODEST = re.compile(
    r"^(?:(?:i (?:think|believe|guess|suppose|would say)|it (?:seems|looks like|appears)|probably|most likely|likely|maybe)"
    r"(?: that)?,? )(?:it is )?"
)
_GLUE = {"of", "to", "in", "on", "at", "them", "and", "or", "with", "by", "be", "that", "this"}
_ITEM = re.compile(r"^\s*\d{1,2}[.)]\s+(?=\S)", re.MULTILINE)
_INLINE_ITEM = re.compile(r"(?:(?<=\s)|^)(\d{1,2})[.)]\s+(?=[a-z(])")
_STEP = re.compile(
    r"\b(?:step|point|part|phase|question)\s+#?\d{1,3}\s*[:.)](?!\d)"
    r"|\b(?:in|at|on|from|see) (?:step|image|picture|photo|figure|fig\.|frame|view|panel|scene)\s+#?\d{1,3}\b"
)
"""A heading or a reference: its number counts nothing."""
_COUNTED = re.compile(rf"(?:^|there (?:is|are) )(?:\d+|{NUMBER_WORD}) [a-z]+(?: [a-z]+)?$")
_DENIED_NUMBER = re.compile(rf"\bnot (?:exactly |just |quite )?{AMOUNT}[\w.,]*")
_RETRACTED = re.compile(
    r"(?:^|[.!?;,\n])\s*(?:no,? |but |hmm,? |oh,? )?(?:wait|actually|correction|scratch that|on second thought|let me re\w*)\b"
)
_LONGEST = 20_000
"""Characters of a reply, without thoughts, that are read; a longer one is unparsable."""
_LENGTH = re.compile(r"\d\s*(?:(milli|centi|kilo|)met(?:er|re)s?|([mck]?)m)\b")
_PERCENT = re.compile(r"\d\s*%|\bper ?cent\b", re.IGNORECASE)
_METERS = {"": 1.0, "milli": 1e-3, "m": 1e-3, "centi": 1e-2, "c": 1e-2, "kilo": 1e3, "k": 1e3}

Reader = Callable[[str, tuple[str, ...], dict[str, int]], "str | None"]


def parse(text: str, answer_type: str, options: Sequence[str] = ()) -> str | None:
    """The answer that `text` gives, or None if it gives none or more than one.

    Args:
        text: what a model said; may be empty, a sentence, or reasoning with a conclusion.
        answer_type: how to read it: `"yes_no"`, `"choice"`, `"number"` or `"text"`.
        options: the options of a choice; letters ("B", "(b) left") stand for them in order. Without options a choice is read
            as text.

    Returns:
        "yes" or "no"; one of `options` exactly as given; a number as "2", "-3" or "2.5"; or lower-case words without
        articles and punctuation.

    Raises:
        HeadAtlasError: the answer type is not known.
    """
    return _parse(text, answer_type, tuple(options))


def matches(text: str, gold: str, answer_type: str, options: Sequence[str] = ()) -> bool:
    """Whether `text` answers `gold`. Unparsable text never does.

    Synonyms of spatial words agree ("on top of" and "above") unless both are options. A number must be exact if the gold
    answer is whole, else within half a unit of gold's last written digit ("2.5" accepts 2.45 to 2.55). Lengths are compared in
    metres if both texts have a unit ("150 cm" and "1.5 m"); a unit that only one of them has is ignored. A percentage that only
    one of them writes agrees with its number and with the share that it is ("50 %" with "50" and with "0.5").
    """
    return _matches(text, gold, answer_type, tuple(options))


@lru_cache(maxsize=65536)
def _matches(text: str, gold: str, answer_type: str, options: tuple[str, ...]) -> bool:
    said, right = _parse(text, answer_type, options), _parse(gold, answer_type, options)
    if said is None:
        return False
    if right is None:  # a gold answer that cannot be parsed, such as a choice that is not among its options
        return canon(said) == canon(gold)
    if answer_type == "number":
        digits = gold.partition(".")[2]
        places = len(re.match(r"\d*", digits)[0]) if "." in right else None  # type: ignore[index]
        tolerance = 1e-9 if places is None else 0.5 * 10**-places + 1e-9
        unit, gold_unit = _meters(plain(text)), _meters(plain(gold))
        ratio = unit / gold_unit if unit and gold_unit else 1.0
        share, gold_share = _PERCENT.search(text) is not None, _PERCENT.search(gold) is not None
        ratios = {ratio} if share == gold_share else {ratio, 0.01 if share else 100.0}
        return any(abs(float(said) * one - float(right)) <= tolerance for one in ratios)
    if answer_type == "yes_no" or (options and said in options and right in options):
        return said == right
    return canon(gold) in (canon(said), canon(_sentence(plain(text))))


@lru_cache(maxsize=65536)
def _parse(text: str, answer_type: str, options: tuple[str, ...]) -> str | None:
    if answer_type not in _READERS:
        raise HeadAtlasError(f"answer_type must be one of {', '.join(_READERS)}; got {answer_type!r}")
    if answer_type == "choice" and not options:
        answer_type = "text"
    said = plain(text) if len(text) <= 10 * _LONGEST else ""
    if len(said) > _LONGEST or not re.search(r"[^\W_]", said):
        return None
    shown, said, letters = labelled(headings_as_clauses(said), options)
    said = answer_part(said, lambda part: _find(part, answer_type, shown, letters))
    found = _find(said, answer_type, shown, letters) if said else None
    return options[shown.index(found)] if found in shown and answer_type not in ("yes_no", "number") else found


def _find(said: str, answer_type: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    """`_parse` of plain text; `letters` says which option each letter stands for."""
    read = _READERS[answer_type]
    exact = exact_option(said, options)
    if exact is not None:
        return read(plain(exact), (), {}) if answer_type in ("yes_no", "number") else exact
    # "A, because B is farther": what is named as a reason is no answer. Free text keeps its reason.
    if options or answer_type in ("yes_no", "number"):
        answer = REASON.sub("", said)
        found = _find(answer, answer_type, options, letters) if answer not in (said, "") else None
        if found is not None or (answer != said and _mentions(answer, (*options, *letters))):
            return found
    clauses = list(_CLAUSE.finditer(said))
    if clauses:
        clause = _sentence(clauses[-1][1])
        if _RETRACTED.search(said[clauses[-1].start(1) + len(clause) :]):
            return None
        found = exact_option(clause, options) or read(clause, options, letters)
        if found is not None:
            named = exact_option(_sentence(clauses[-1][1][len(clause) :].lstrip(" .")), options)
            return found if named in (None, found) or found not in options else None  # "The answer is B. left"
    if _REFUSAL.search(said):
        return None
    found = read(_IDIOM.sub("", said), options, letters)
    if found is None and (conclusions := _CONCLUSION.findall(said)):
        found = read(_sentence(conclusions[-1]), options, letters)
    return found


def _mentions(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text has one of the names as words of their own."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _meters(text: str) -> float | None:
    """Metres in the unit of length that follows a number in plain text; None without one, or with several."""
    units = {_METERS[long or short] for long, short in _LENGTH.findall(text)}
    return units.pop() if len(units) == 1 else None


def _sentence(text: str) -> str:
    """The first sentence."""
    return re.split(r"[.!?;](?=\s|$)|\n", text.strip(), maxsplit=1)[0].strip()


def _yes_no(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    if options and (chosen := by_letter(text, options, letters)) is not None:
        return _yes_no(plain(chosen), (), {})
    if (whole := re.split(r"[,.]\s", text.strip(" .!?,"), maxsplit=1)[0]) in _FOREIGN:
        return _FOREIGN[whole]
    if re.search(r"\b(?:yes\s*(?:/|or|and)\s*no|neither)\b|\bnot (?:\w+ )?yes\b", text):
        return None
    words = tokens(text)
    while words and words[0] == ",":
        words = words[1:]
    if not words or _CALLED_WRONG.search(text):
        return None
    if words in (["y"], ["n"], ["y", ","], ["n", ","]):
        return "yes" if words[0] == "y" else "no"
    if set(words) <= _YES | _NO | {","} and set(words) & _YES and set(words) & _NO:  # "yes no yes"
        return None
    short_clause = _SHORT_CLAUSE.fullmatch(text)
    if short_clause and words[0] in _YES | _NO and (words[0] in _YES) == bool(short_clause[1]):  # "Yes, it is not."
        return None
    judged = _JUDGED.fullmatch(text)
    if (words[0] not in _YES | _NO and _DOUBLE_DENIAL.search(text)) or (
        judged and (judged[1] == "yes") != bool(judged[2])
    ):  # "No, that is correct."
        return None
    if re.fullmatch(r"(?:of course|affirmative)\W*", text):
        return "yes"
    if words[0] in _YES | _NO:
        if words[0] in _YES and words[1:2] == ["not"]:
            return "no"
        found, other = ("yes", "no") if words[0] in _YES else ("no", "yes")
        later = re.search(
            rf"(?:[.,;!?|]|\bactually|\bwait|\bbut)\s*(?:actually,?\s*|wait,?\s*)?\b{other}\b(?!\s+\w)", text
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
    if _CROSSED.search(text):
        return None
    lettered = by_letter(text, options, letters)
    if lettered is not None:
        return lettered or None
    named = named_options(text, options, letters)
    if len(named) == 1:
        return options[named.pop()]
    rest = text[len(opening_of(text)) :].strip(" ,;:.!?\n-")
    if exact_option(rest, options):
        return None
    opening = _MODEST.sub("", opening_of(text))
    return (
        exact_option(opening, options) or _hinted(text, options) or (None if named else _other(text, options, letters))
    )


def _hinted(text: str, options: tuple[str, ...]) -> str | None:
    """The only option that contains all words of the text: "the blue one" means "blue sphere", not "red cube"."""
    said = {w for w in tokens(_MODEST.sub("", text)) if w not in (",", "1", "it", "is")}
    meant = [o for o in options if said <= set(tokens(plain(o)))]
    telling = {w for w in said - _GLUE if not re.fullmatch(r"[a-z]|label[a-z]x", w)}
    return meant[0] if len(meant) == 1 and telling else None


def _other(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    """Of two options, the other one, if the text only denies the first: "It isn't on the left"."""
    if (
        len(options) != 2
        or len(re.findall(r"\bnot\b", text)) != 1
        or re.search(r"\b(?:nor|neither|never|only)\b", text)
    ):
        return None
    affirmed = named_options(re.sub(r"\bnot\b", " ", text), options, letters)
    return options[1 - affirmed.pop()] if len(affirmed) == 1 else None


def _number(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str | None:
    if options and (chosen := by_letter(text, options, letters, digits=False)):
        return _number(plain(chosen), (), {})
    text = _STEP.sub(" ", text)
    if BOUND.search(text) or NOT_A_COUNT.search(text):
        return None
    listed = [int(number) for number in _INLINE_ITEM.findall(text)]
    if len(listed) > 1 and listed == list(range(1, len(listed) + 1)):  # "1. red 2. blue"
        text = _INLINE_ITEM.sub(" ", text)
    if len(re.findall(_ITEM, text)) > 1:  # a numbered list: its numbers count nothing
        text = re.sub(_ITEM, " ", text)
    text = _DENIED_NUMBER.sub(" ", text)
    outside = re.sub(r"\([^)]*\)", " ", text)
    opening = opening_of(text)
    rest = text[len(opening) :].lstrip()
    after = rest.lstrip(" ,;:?\u2026") if not opening.endswith(".") else rest.lstrip(" .")
    # "2, 5", "one, two" and "3 dogs, 2 cats" give two numbers; "3 dogs, one red" gives one and divides it.
    follows = numbers(after.split()[0] if after and len(opening.split()) == 1 else after[:1])
    if follows and not (rest.startswith(": ") and _COUNTED.search(opening)):  # "3 dogs: 1 brown, 2 black"
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


def _total(text: str) -> str:
    """The few words around "in total" and the like."""
    m = re.search(
        r"(?<!\S)((?:[^\s,;]{1,40}\s+){1,4})(?:in total|altogether|in all|overall)\b"
        r"|\btotal (?:\w+ )?(?:of|is|:)\s*((?:\S+\s*){1,2})",
        text,
    )
    return (m[1] or m[2]) if m else ""
