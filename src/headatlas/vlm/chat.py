"""Turn questions into chats: turns, Hugging Face messages, and the text that a chat template makes of them.

This module alone decides the words of a prompt, so that a step's prompt is always a strict prefix of the whole conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError

Arm = Callable[[Question], tuple[tuple[Image.Image, ...], str]]
"""A way of showing a question: `arm(question) -> (images, preamble)`, the images shown instead of the question's own and the
text put before it."""


@dataclass(frozen=True)
class Turn:
    """A user message and the model's answer; `answer` is None if the model has yet to answer."""

    user: str
    answer: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Conversation:
    """Images, all in front of the first user turn, and turns.

    Attributes:
        images: any number, also none.
        turns: at least one; only the last may be without an answer.
        name: what messages call the conversation, such as the question's id; empty for none.
    """

    images: tuple[Image.Image, ...]
    turns: tuple[Turn, ...]
    name: str = ""

    def __post_init__(self):
        if not self.turns:
            raise HeadAtlasError("a conversation must have at least one turn, got none")
        if any(turn.answer is None for turn in self.turns[:-1]):
            raise HeadAtlasError("every turn but the last must have an answer, got an open turn before the last")

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return (
            f"<Conversation{name}: {len(self.images)} images, {len(self.turns)} turns{', open' if self.open else ''}>"
        )

    @property
    def open(self) -> bool:
        """Whether the model has yet to answer the last turn."""
        return self.turns[-1].answer is None


@dataclass(frozen=True, eq=False)
class ShownQuestion:
    """A question as an arm shows it.

    Attributes:
        question: the question.
        images: shown instead of the question's own.
        preamble: text put before the question.
    """

    question: Question
    images: tuple[Image.Image, ...]
    preamble: str = ""

    def chat(self, upto: int | None = None, answers: Sequence[str] | None = None) -> Conversation:
        """The conversation about the question; arguments and errors as in `conversation`."""
        return conversation(self.question, upto, answers, self.images, self.preamble)


def show(questions: Iterable[Question], arm: Arm | None = None) -> list[ShownQuestion]:
    """Each question as `arm` shows it, or with its own images. The arm is called once per question."""
    shown = ((question, (question.images, "") if arm is None else arm(question)) for question in questions)
    return [ShownQuestion(question, images, preamble) for question, (images, preamble) in shown]


def conversations(questions: Iterable[Question], arm: Arm | None = None) -> list[Conversation]:
    """The whole conversation about each question, gold answers in every turn, as `arm` shows it."""
    return [shown.chat() for shown in show(questions, arm)]


def conversation(
    question: Question,
    upto: int | None = None,
    answers: Sequence[str] | None = None,
    images: tuple[Image.Image, ...] | None = None,
    preamble: str = "",
    direct: bool = False,
) -> Conversation:
    """The chat about a question's steps: images, preamble, question and first step in the first user turn, then one turn
    per step. A first step that repeats the question adds nothing.

    Args:
        question: the question.
        upto: None gives all steps with their answers; k gives steps 0..k with step k (0-based) left open for the model.
        answers: texts of the model's turns, by default the gold answers. With `upto=k` the first k are used.
        images: shown instead of the question's own (an arm, or `()` for no image).
        preamble: text put before the question.
        direct: one turn, the question alone, with its gold answer (or `answers[0]`), or open if `upto` is given.

    Raises:
        HeadAtlasError: `upto` is not a step of the question, or there are too few `answers`.
    """
    shown = question.images if images is None else images
    head = f"{preamble}\n" if preamble else ""
    if direct:
        answer = None if upto is not None else (answers[0] if answers else question.answer)
        return Conversation(shown, (Turn(head + question.text, answer),), question.id)
    n_steps = len(question.steps)
    if upto is not None and not 0 <= upto < n_steps:
        raise HeadAtlasError(f"question {question.id!r}: upto must be a step from 0 to {n_steps - 1}, got {upto}")
    texts = [step.answer for step in question.steps] if answers is None else list(answers)
    n_answered = n_steps if upto is None else upto
    if len(texts) < n_answered:
        raise HeadAtlasError(f"question {question.id!r}: answers must have {n_answered} entries, got {len(texts)}")
    turns = []
    for i, step in enumerate(question.steps[: n_answered + (upto is not None)]):
        user = step.text
        if i == 0:  # a question that is its own first step is asked once
            user = head + question.text if step.text == question.text else f"{head}{question.text}\n{step.text}"
        turns.append(Turn(user, texts[i] if i < n_answered else None))
    return Conversation(shown, tuple(turns), question.id)


def messages(chat: Conversation, n_turns: int | None = None, open_last: bool = False) -> list[dict[str, Any]]:
    """Hugging Face chat messages of the first `n_turns` turns; `open_last` leaves out the last one's answer."""
    turns = chat.turns[:n_turns]
    out: list[dict[str, Any]] = []
    for i, turn in enumerate(turns):
        pictures = [{"type": "image"} for _ in chat.images] if i == 0 else []
        out.append({"role": "user", "content": [*pictures, {"type": "text", "text": turn.user}]})
        if turn.answer is not None and not (open_last and i == len(turns) - 1):
            out.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return out


def render(processor: Any, chats: list[list[dict[str, Any]]], generation_prompt: bool) -> list[str]:
    """The text of each chat by the model's own template, with placeholders for images.

    Templates that can disable thinking are asked to, so that the answer follows the prompt directly.
    """
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    options = {"enable_thinking": False} if "enable_thinking" in str(template) else {}
    return processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=generation_prompt, **options)
