"""The data's steps on which one head matters most."""

from __future__ import annotations

from typing import Any

import numpy as np

from headatlas.cogvsr.functions import TASK
from headatlas.cogvsr.schema import Question, Step
from headatlas.engine import sweep
from headatlas.explore.pictures import Pictures
from headatlas.heads import Head, HeadSet, zero
from headatlas.progress import Progress
from headatlas.vlm.chat import conversations
from headatlas.vlm.model import VLM

QUESTIONS = 48
"""Number of questions of the data that are tried."""
SHOWN = 8


def head_examples(vlm: VLM, pictures: Pictures, head: Head, progress: Progress) -> dict[str, Any]:
    """Remove one head on the first 48 questions: the steps whose right answer loses most, and how many change.

    Returns:
        `n` steps of `questions`, how many become wrong (`broken`) and right (`mended`), the `mean` fall of the right answer's
        log-probability (nats) by function, and the `examples` with the largest fall.
    """
    some = [pictures.full(i) for i in range(min(QUESTIONS, len(pictures.questions)))]
    result = sweep(vlm, conversations(some), [[zero(HeadSet([head]))]], progress=progress)
    fall = result.bare[0] - result.logprob[0]
    rows = [(i, k, step) for i, question in enumerate(some) for k, step in enumerate(question.steps)]
    before, after = result.bare[2], result.text[0]
    right, still = result.bare[1], result.exact[0]
    by_function: dict[str, list[float]] = {}
    for (_, _, step), lost in zip(rows, fall.tolist(), strict=True):
        by_function.setdefault(step.function, []).append(lost)
    examples = [
        {
            "example": rows[n][0], "step": rows[n][1], "text": rows[n][2].text, "shown": _shown(some[rows[n][0]], rows[n][2]),
            "gold": rows[n][2].answer, "fall": float(fall[n]),
            "before": before[n], "after": after[n], "function": rows[n][2].function,
        }
        for n in np.argsort(-fall, kind="stable")[:SHOWN].tolist()
    ]  # fmt: skip
    return {
        "head": str(head),
        "n": len(rows),
        "questions": len(some),
        "broken": int((right & ~still).sum()),
        "mended": int((~right & still).sum()),
        "mean": {name: {"fall": float(np.mean(lost)), "n": len(lost)} for name, lost in by_function.items()},
        "examples": [one for one in examples if one["fall"] > 0.005],
    }


def _shown(question: Question, step: Step) -> str:
    """The words for people: a step that only asks for its question's answer comes with the question."""
    return f"{question.text} {step.text}" if step.kind == TASK and step.text != question.text else step.text
