"""Steps made from a layout: a chain that ends in the answer, three to nine steps long, no step twice.

Knows the schema and the functions; knows nothing of any layout. What an importer knows of a picture goes in as `ask`; what
is only nice to have is marked optional and gives way when a chain grows too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headatlas.cogvsr.schema import AnswerType, Box, Step

LEAST, MOST = 3, 9

SPATIAL, RELATION, LOW, HIGH = (
    "spatial_perception",
    "relational_reasoning",
    "low_level_perception",
    "high_level_perception",
)
TEXT, KNOWLEDGE, MATH, DECIDE = "information_extraction", "knowledge_recall", "math_reasoning", "decision_making"

WHOLE = "whole"
"""The kind of a step that is the question itself: not decomposed yet."""


def words(value: Any) -> str:
    """An answer in words: True is "yes", 3 is "3"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def type_of(answer: str, options: Sequence[str] = ()) -> AnswerType:
    """The answer type that fits an answer in words."""
    if options:
        return "choice"
    if answer in ("yes", "no"):
        return "yes_no"
    return "number" if answer.lstrip("-").isdigit() else "text"


class Chain:
    """Collects steps; `end` closes it with the decision."""

    def __init__(self) -> None:
        self._steps: list[tuple[Step, bool]] = []

    def ask(
        self,
        text: str,
        answer: Any,
        *functions: str,
        kind: str,
        options: Sequence[str] = (),
        boxes: Sequence[Box] = (),
        needs_image: bool | None = None,
        optional: bool = False,
    ) -> None:
        """Add a step, unless the same text is asked already. By default what is read or decided needs no image."""
        if any(step.text == text for step, _ in self._steps):
            return
        said = words(answer)
        step = Step(
            text=text,
            answer=said,
            answer_type=type_of(said, options),
            functions=functions,
            options=tuple(options),
            kind=kind,
            needs_image=functions[0] not in (TEXT, KNOWLEDGE, DECIDE) if needs_image is None else needs_image,
            boxes=tuple(boxes),
        )
        self._steps.append((step, optional))

    def end(
        self,
        answer: str,
        answer_type: AnswerType,
        options: Sequence[str] = (),
        looks: Sequence[str] = (),
        suffices: bool = True,
    ) -> tuple[Step, ...]:
        """The chain with its decision: at most nine steps, optional ones dropped from the end first; () if under three.

        Args:
            answer: the question's.
            answer_type: its type.
            options: of a choice.
            looks: functions that the last step takes itself, primary first, where something is left to be seen; it then
                needs the image, and deciding is the least of it.
            suffices: False where the steps may not give the answer and nobody can say what is left: it needs the image too.
        """
        over = len(self._steps) + 1 - MOST
        for i in reversed(range(len(self._steps))):
            if over > 0 and self._steps[i][1]:
                del self._steps[i]
                over -= 1
        if over > 0 or len(self._steps) + 1 < LEAST:
            return ()
        end = _decision(answer, answer_type, options, looks, needs_image=bool(looks) or not suffices)
        return (*(step for step, _ in self._steps), end)


def _decision(
    answer: str, answer_type: AnswerType, options: Sequence[str], looks: Sequence[str], needs_image: bool
) -> Step:
    text = "So is it, yes or no?" if answer_type == "yes_no" else "So what is the answer to the question?"
    return Step(
        text=text,
        answer=answer,
        answer_type=answer_type,
        functions=(*looks, DECIDE),
        options=tuple(options),
        kind="decide",
        needs_image=needs_image,
    )


def whole(answer: str, answer_type: AnswerType, *functions: str, options: Sequence[str] = ()) -> tuple[Step, ...]:
    """The one step of a question that nobody has decomposed: the question itself, with the functions its set is known for."""
    text = "Yes or no?" if answer_type == "yes_no" else "What is the answer to the question?"
    step = Step(
        text=text, answer=answer, answer_type=answer_type, functions=functions, options=tuple(options), kind=WHOLE
    )
    return (step,)
