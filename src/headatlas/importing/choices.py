"""Read multiple-choice questions as benchmarks write them: options in the text or in a list, answers as "(a)" or "A. right".

The answer becomes the text of the option, because a model is expected to say that rather than a letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from headatlas.cogvsr.schema import AnswerType
from headatlas.importing.draft import Unusable

_MARK = r"(?:\(([A-Za-z])\)|([A-Za-z])[.):])\s+"
_LINE = re.compile(rf"^[ \t]*(?:-\s*)?{_MARK}(.*\S)[ \t]*$", re.MULTILINE)
_TAIL = re.compile(
    r"\s*(?:(?:please )?select from the following (?:choices|options)[.:]?|(?:available )?(?:options|choices)\s*:)\s*$",
    re.IGNORECASE,
)
_REQUEST = re.compile(r"\s*(?:please )?answer (?:directly )?with (?:only )?[^.\n]*\.?\s*$", re.IGNORECASE)
_LETTER = re.compile(r"^\s*(?:\(([A-Za-z])\)|([A-Za-z])(?:[.):]|$))\s*(.*)$", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """A question with its answer, as a draft needs it."""

    text: str
    answer: str
    answer_type: AnswerType
    options: tuple[str, ...] = ()


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Split a question into its text and its options.

    Options may stand on lines of their own ("(A) train", "B. left", "C: Point C") or in one line ("(a) Left (b) Right",
    "Options: A. back, B. front"). Letters must run from A without a gap.

    Returns:
        (text, {"A": option, ...}); the dict is empty if there are no options.
    """
    lines = [((m[1] or m[2]).upper(), m[3].strip(), m.start()) for m in _LINE.finditer(text)]
    found = _run(lines)
    if len(found) < 2:
        found = _inline(text)
    if len(found) < 2:
        return text.strip(), {}
    first = min(start for _, _, start in found)
    options = {letter: words for letter, words, _ in found}
    last = found[-1][0]
    if sum(words.endswith(".") for words in options.values()) == 1 and re.search(r"\w\.$", options[last]):
        options[last] = options[last][:-1]  # the full stop of the sentence that lists the options
    return _stem(text[:first]), options


def _run(marked: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """The longest run of letters A, B, C, ...; of equally long ones the last."""
    best: list[tuple[str, str, int]] = []
    for i, (letter, _, _) in enumerate(marked):
        if letter != "A":
            continue
        run = [marked[i]]
        for following in marked[i + 1 :]:
            if following[0] != chr(ord(run[-1][0]) + 1):
                break
            run.append(following)
        best = run if len(run) >= len(best) else best
    return best if len(best) == 1 or all(words and not _has_mark(words) for _, words, _ in best) else []


def _has_mark(words: str) -> bool:
    return re.search(r"\s\([B-Zb-z]\)\s", words) is not None


def _inline(text: str) -> list[tuple[str, str, int]]:
    for pattern in (r"\(([A-Za-z])\)\s*", r"(?<![\w(])([A-Z])[.:]\s+"):
        marks = list(re.finditer(pattern, text))
        runs = [
            (
                m[1].upper(),
                text[m.end() : following.start() if following else len(text)].strip().rstrip(",;").strip(),
                m.start(),
            )
            for m, following in zip_longest(marks, marks[1:])
        ]
        found = _run(runs)
        if len(found) >= 2 and found[-1][1] == runs[-1][1]:
            return found
    return []


def _stem(text: str) -> str:
    before = None
    text = text.strip()
    while before != text:
        before, text = text, _TAIL.sub("", text).strip()
    return text


def asked(text: str, answer: str, options: Sequence[str] = ()) -> Asked:
    """A question from its text, answer and options; without options they are read from the text.

    The options yes and no make a yes/no question. An answer that is a number, with or without a unit, makes a number question.

    Raises:
        Unusable: the answer is none of the options, or options are empty or equal.
    """
    given = {chr(ord("A") + i): str(option).strip() for i, option in enumerate(options)}
    stem, letters = (text.strip(), given) if given else split_options(_REQUEST.sub("", text))
    stem = _stem(_REQUEST.sub("", stem)) or stem
    if letters:
        return _choice(stem, answer, letters)
    plain = answer.strip().strip(".").lower()
    if plain in ("yes", "no", "true", "false"):
        return Asked(stem, "yes" if plain in ("yes", "true") else "no", "yes_no")
    if number := re.fullmatch(r"(-?\d+(?:\.\d+)?)(?:\s*([A-Za-z²³°%]+))?", answer.strip()):
        unit = f" Answer in {number[2]}." if number[2] and number[2] not in stem else ""
        return Asked(stem + unit, number[1], "number")
    if not answer.strip():
        raise Unusable("the answer is empty")
    return Asked(stem, answer.strip(), "text")


def _choice(stem: str, answer: str, letters: dict[str, str]) -> Asked:
    words = list(letters.values())
    if any(not option for option in words):
        raise Unusable(f"an option is empty: {words}")
    if len({option.casefold() for option in words}) < len(words):
        raise Unusable(f"two options are equal: {words}")
    right = _right(answer, letters)
    if {option.casefold() for option in words} == {"yes", "no"}:
        return Asked(stem, right.lower(), "yes_no")
    return Asked(f"{stem}\n{listed(words)}", right, "choice", tuple(words))


def listed(options: Sequence[str]) -> str:
    """The sentence that gives the options of a choice to a model."""
    joint = "; " if any("," in option for option in options) else ", "
    return f"Choose one: {joint.join(options)}."


def _right(answer: str, letters: dict[str, str]) -> str:
    exact = [option for option in letters.values() if option.casefold() == answer.strip().casefold()]
    if exact:
        return exact[0]
    m = _LETTER.match(answer)
    if m and (option := letters.get((m[1] or m[2]).upper())):
        said = m[3].strip().rstrip(".")
        if not said or said.casefold() == option.rstrip(".").casefold():
            return option
        raise Unusable(f"the letter of the answer {answer[:60]!r} is that of the option {option[:60]!r}")
    raise Unusable(f"the answer must be one of the options {list(letters.values())!r:.120}, got {answer[:60]!r}")
