"""Check a chain of steps by rules: repeats, leaks of the answer, early steps that ask the main question, number of steps.

Messages number the steps from 1, as the model does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headatlas.answers.words import plain, tokens
from headatlas.cogvsr.schema import Question, Step

# fmt: off
_EMPTY = {
    "is", "are", "was", "were", "be", "been", "being", "do", "does", "did", "can", "could", "would", "will", "please",
    "tell", "me", "say", "give", "of", "to", "there", "it", "this", "that", "these", "those", "then", "so", "now", ",",
    "shown", "visible", "seen", "see",
}
# fmt: on
_IN_PICTURE = re.compile(
    r"\b(?:in|of|from|on|at)?\s*(?:the|this|that)?\s*(?:given|shown)?\s*\b(?:image|picture|photo|photograph|scene)\b"
)


@dataclass(frozen=True)
class Checked:
    """The steps that remain, what is wrong with them, and which steps were dropped as repeats and why."""

    steps: tuple[Step, ...]
    faults: tuple[str, ...]
    dropped: tuple[str, ...]


def check_chain(steps: Sequence[Step], question: Question, least: int = 2, most: int = 10) -> Checked:
    """Drop repeats, then check what remains.

    * A step that asks the same as another one, also in another order of words, is dropped if their answers agree (the last
      step stays); if they differ, that is a fault.
    * An early step must not ask the main question, and must not give the final answer away: see `leaks`.
    * `least` to `most` steps must remain.
    """
    kept, faults, dropped = _without_repeats(steps)
    numbers = [steps.index(step) + 1 for step in kept]
    for number, step in zip(numbers[:-1], kept[:-1], strict=True):
        if same_question(step.text, question.text):
            faults.append(f"step {number} asks the main question itself, before the last step")
    for i in leaks([step.text for step in kept], question):
        faults.append(f"step {numbers[i]} gives the final answer {question.answer!r} away: {kept[i].text!r}")
    if not least <= len(kept) <= most:
        also = f", {len(dropped)} repeats not counted" if dropped else ""
        faults.append(f"the number of steps must be {least} to {most}, got {len(kept)}{also}")
    return Checked(tuple(kept), tuple(faults), tuple(dropped))


def _without_repeats(steps: Sequence[Step]) -> tuple[list[Step], list[str], list[str]]:
    kept: list[Step] = []
    faults: list[str] = []
    dropped: list[str] = []
    for number, step in enumerate(steps, 1):
        earlier = next((other for other in kept if _repeats(step, other)), None)
        if earlier is None:
            kept.append(step)
            continue
        first = steps.index(earlier) + 1
        if earlier.answer.lower() != step.answer.lower():
            faults.append(f"steps {first} and {number} ask the same, but answer {earlier.answer!r} and {step.answer!r}")
            kept.append(step)
        elif number == len(steps):
            kept.remove(earlier)
            kept.append(step)
            dropped.append(f"step {first} asks what the last step asks: {earlier.text!r}")
        else:
            dropped.append(f"step {number} repeats step {first}: {step.text!r}")
    return kept, faults, dropped


def _repeats(step: Step, other: Step) -> bool:
    if same_question(step.text, other.text):
        return True
    # The same words in another order: "in which row is the dog?". Not for yes/no, where the order may carry the meaning.
    same_words = sorted(content_words(step.text)) == sorted(content_words(other.text))
    return same_words and step.answer_type != "yes_no" and step.answer.lower() == other.answer.lower()


def same_question(one: str, other: str) -> bool:
    """Whether two questions have the same content words in the same order."""
    words = content_words(one)
    return bool(words) and words == content_words(other)


def content_words(text: str) -> list[str]:
    """The words that carry a question's meaning, singular, numbers as digits ("Where's the dog in the image?": where, dog)."""
    return [word for word in tokens(_IN_PICTURE.sub(" ", plain(text).replace("'s ", " "))) if word not in _EMPTY]


def leaks(texts: Sequence[str], question: Question) -> list[int]:
    """Positions (from 0) of the early steps that give the final answer away.

    A step leaks if it says what "the answer is", or if it names the answer while neither the main question nor any early step
    names an alternative: "Where is the red car?" leaks if the colour was asked for. Steps that name every candidate in turn
    do not leak, nor does a word of the main question. A yes or no leaks only if a step says that it is the answer.

    Args:
        texts: all steps; the last one may name the answer.
        question: the main question.
    """
    gold, early = _phrase(question.answer), list(texts)[:-1]
    stated = re.compile(
        rf"\banswer\s*(?:is|are|was|:|=|must be|should be) (?:that )?(?:{re.escape(plain(question.answer))})(?!\w)"
    )
    said = [i for i, text in enumerate(early) if stated.search(plain(text))]
    if question.answer_type == "yes_no" or not gold:
        return said
    others = [_phrase(option) for option in question.options if _phrase(option) != gold]
    others = [other for other in others if other]
    asked = _phrase(question.text)
    alternatives_asked = any(_holds(asked, other) for other in others)
    if _holds(asked, gold) and not alternatives_asked:
        return said
    if any(_holds(_phrase(text), other) for text in early for other in others):
        return said
    return sorted({*said, *(i for i, text in enumerate(early) if _holds(_phrase(text), gold))})


def _phrase(text: str) -> str:
    return " ".join(word for word in tokens(plain(text)) if word != ",")


def _holds(text: str, phrase: str) -> bool:
    return f" {phrase} " in f" {text} "
