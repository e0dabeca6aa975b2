"""Generated answers to every step: what is read once beside every step generated from its beginning, in own and gold context."""

from __future__ import annotations

from collections.abc import Sequence

from table import Line, race

from headatlas.cogvsr.schema import Question
from headatlas.vlm import VLM, Conversation, conversation, generate
from headatlas.vlm.stepwise import gold_answers, own_answers

TOKENS = 16


def steps_lines(vlm: VLM, questions: list[Question], batch_size: int, rounds: int) -> list[Line]:
    """Seconds for all questions; batches are encoded again each time. Off: answers that differ from those one by one."""
    few = questions[: max(2, len(questions) // 16)]
    scale = sum(len(q.steps) for q in questions) / sum(len(q.steps) for q in few)

    def chat(i: int, upto: int | None, answers: Sequence[str] | None) -> Conversation:
        return conversation(questions[i], upto, answers)

    def shared(context: str) -> list[list[str]]:
        counts = [len(question.steps) for question in questions]
        if context == "own":
            return own_answers(vlm, chat, counts, batch_size, TOKENS)
        return gold_answers(vlm, chat, counts, batch_size, TOKENS)[0]

    def apart(context: str, some: list[Question], size: int) -> list[list[str]]:
        if context == "gold":
            texts = iter(generate(vlm, [conversation(q, k) for q in some for k in range(len(q.steps))], TOKENS, size))
            return [[next(texts) for _ in question.steps] for question in some]
        said: list[list[str]] = [[] for _ in some]
        for k in range(max(len(question.steps) for question in some)):
            alive = [i for i, question in enumerate(some) if len(question.steps) > k]
            texts = generate(vlm, [conversation(some[i], k, said[i]) for i in alive], TOKENS, size)
            for i, text in zip(alive, texts, strict=True):
                said[i].append(text)
        return said

    lines = []
    for context in ("own", "gold"):
        want = apart(context, questions, batch_size)
        unlike = sum(a != b for x, y in zip(shared(context), want, strict=True) for a, b in zip(x, y, strict=True))
        one_by_one, batched = "batch size 1", "every step from its beginning"
        contenders = {
            "HeadAtlas": lambda context=context: shared(context),
            batched: lambda context=context: apart(context, questions, batch_size),
            one_by_one: lambda context=context: apart(context, few, 1),
        }
        notes = {
            "HeadAtlas": f"{unlike} of {sum(map(len, want))} answers differ",
            one_by_one: f"{len(few)} of {len(questions)} questions timed, scaled up by steps",
        }
        lines += race(f"answers, {context} context", contenders, "HeadAtlas", rounds, None, notes, {one_by_one: scale})
    return lines
