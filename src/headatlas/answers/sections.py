"""The parts of a reply: headings over an answer, an explanation after it, and further turns that the model invented."""

from __future__ import annotations

import re
from collections.abc import Callable

_HEADING = re.compile(
    r"(^|\n)[ \t]*((?:the |my )?(?:final |correct |short )?(?:answer|choice))[ \t]*\n+", re.IGNORECASE
)
"""A line that only says that the answer follows."""
_EXPLANATION = re.compile(
    r"\n\s*(?:(?:brief |short |detailed |my )?(?:explanations?|reasoning|reasons?|rationale|justification|analysis)|note"
    r"|disclaimer|caveat)\s*(?::|\n)"
)
_ASKED = re.compile(r"\n\s*(?:next |new |another )?(?:question|q)\s*\d*\s*[:.]")
_SPOKEN = re.compile(r"\n\s*(?:user|human)\s*(?::|\n)")
_SHORT = 4
"""Words of a line that is an answer and nothing else."""


def headings_as_clauses(text: str) -> str:
    """Plain text in which a heading "Answer" is the start of a clause: "answer: left"."""
    return _HEADING.sub(r"\1\2: ", text)


def answer_part(text: str, read: Callable[[str], str | None]) -> str:
    """The part of plain text that answers the question asked, without what the model added to it.

    A model that does not stop writes the next question and its answer; one that explains itself names other options. Both are
    left out, if what stands before them is an answer. Where only a longer text stands before a question, it may be the
    question asked, repeated: the text stays whole, unless both parts give different answers.

    Args:
        text: plain text of a reply.
        read: the answer in such a text, or None.

    Returns:
        `text` or its beginning; empty if its parts contradict each other.
    """
    if spoken := _SPOKEN.search(text):
        before = text[: spoken.start()]
        text = before if before.strip() else text
    if asked := _ASKED.search(text):
        before, after = text[: asked.start()], text[asked.end() :]
        if (found := read(before)) is not None:
            if len(before.split()) > _SHORT and read(after) not in (None, found):
                return ""
            text = before
    explained = _EXPLANATION.search(text)
    if explained and read(text[: explained.start()]) is not None:
        later = re.search(r"\b(?:answer|choice|option)\b[^\n:]{0,20}(?::|\bis\b)", text[explained.end() :])
        text = text if later else text[: explained.start()]
    return text
