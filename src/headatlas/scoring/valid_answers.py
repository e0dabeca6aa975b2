"""The first tokens of valid answers to a step. Their probability mass shows whether the model still answers in the right form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headatlas.cogvsr.schema import Question, Step
from headatlas.vlm.batch import encode
from headatlas.vlm.chat import Conversation

if TYPE_CHECKING:
    from headatlas.vlm.model import VLM


def valid_tokens(vlm: VLM, questions: Sequence[Question], chats: Sequence[Conversation]) -> list[frozenset[int]]:
    """For each step, in order, the first tokens of all gold answers to steps of its type, tokenized in its own context.

    Steps are of one type if they have the same options; without options, if they have the same answer type and, where any text
    may be the answer, the same kind. A type with one answer only is joined with all steps of its answer type.

    Args:
        vlm: the model, for its tokens.
        questions: the questions.
        chats: their conversations with gold answers.
    """
    kinds = [_kind(step) for question in questions for step in question.steps]
    first: list[int] = []
    for chat in chats:
        batch = encode(vlm, [chat])
        first += [int(batch.ids[0, start]) for start, _ in batch.spans[0]]
    tokens: dict[tuple[object, ...], set[int]] = {}
    for kind, token in zip(kinds, first, strict=True):
        tokens.setdefault(kind, set()).add(token)
    of_type: dict[object, set[int]] = {}
    for kind, some in tokens.items():
        of_type.setdefault(kind[0], set()).update(some)
    return [frozenset(tokens[kind] if len(tokens[kind]) > 1 else of_type[kind[0]]) for kind in kinds]


def _kind(step: Step) -> tuple[object, ...]:
    if step.options:
        return step.answer_type, tuple(sorted(step.options))
    return step.answer_type, step.kind if step.answer_type == "text" else ""
