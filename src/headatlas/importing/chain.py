"""Build a chain of three to nine different steps that ends in the answer.

An importer adds what it knows about a picture with `Chain.ask`. Optional steps, on which the answer does not depend, are
dropped if the chain is too long.
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
"""The kind of a step that is the whole question, which is not decomposed yet."""


def words(value: Any) -> str:
    """An answer in words: True becomes "yes", 3 becomes "3"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def type_of(answer: str, options: Sequence[str] = ()) -> AnswerType:
    """The answer type that fits an answer in words."""
    if options:
        return "choice"
    if answer in ("yes", "no"):
        return "yes_no"
    return "number" if answer.removeprefix("-").isdecimal() else "text"


class Chain:
    """Collects steps; `end` adds the last one, the decision, and returns them all."""

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
        """Add a step; a step with the same text as an earlier one is ignored.

        Args:
            text: the step.
            answer: its answer; True is "yes", 3 is "3".
            functions: the cognitive functions that it needs, the primary one first.
            kind: the name of this kind of step.
            options: the options of a choice.
            boxes: where the answer can be seen.
            needs_image: whether the image is needed; by default False for steps that read the question, recall or decide.
            optional: whether the step may be dropped from a chain that is too long.
        """
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
        """The finished chain: three to nine steps, or () if that is not possible. Optional steps are dropped from the end.

        Args:
            answer: the question's answer.
            answer_type: its type.
            options: the options of a choice.
            looks: functions that the last step needs besides deciding, the primary one first, if something remains to be
                seen. The step then needs the image.
            suffices: False if the steps may not determine the answer; the last step then needs the image, too.
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
    """The single step of a question that is not decomposed: the question itself, with the functions its dataset is known for."""
    text = "Yes or no?" if answer_type == "yes_no" else "What is the answer to the question?"
    step = Step(
        text=text, answer=answer, answer_type=answer_type, functions=functions, options=tuple(options), kind=WHOLE
    )
    return (step,)
