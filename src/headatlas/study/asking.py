"""Find the questions, and the ways of showing them, that a model's processor refuses.

A processor may refuse a picture of 400 x 1 pixels, an image token in the text, a second picture, or a text without a picture.
Refused questions are found before anything is computed, left out of every condition, and listed in `results/left_out.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.results import RESULTS
from headatlas.vlm import VLM, conversation, read
from headatlas.vlm.chat import Arm
from headatlas.vlm.evaluate import unreadable

EVALUATED = "E"
"""The split whose questions are also shown by arms."""


def find_left_out(vlm: VLM, data: Any, arms: Mapping[str, Arm], progress: Progress | None = None) -> pd.DataFrame:
    """The questions that the model's processor refuses, and the arms in which it refuses all of them.

    Every question is tried as it is, and those of split E also in every arm. The model itself runs once per arm.

    Args:
        vlm: the model.
        data: the dataset, with the split E.
        arms: ways of showing a question, by name.
        progress: called as `progress("ways of showing the questions", done, total)`, in ways of showing.

    Returns:
        Rows of results/left_out.csv: one for each such question (`what` is `question`) and arm (`what` is `arm`).

    Raises:
        HeadAtlasError: the model can read no question.
    """
    split_of = dict(zip(data.ids, (question.split for question in data.without_images()), strict=True))
    reasons = unreadable(vlm, data)
    if len(reasons) == len(data):
        raise HeadAtlasError(f"the model can read none of the {len(data)} questions: {next(iter(reasons.values()))}")
    rows = [("question", name, split_of[name], reason) for name, reason in reasons.items()]
    if progress is not None:
        progress("ways of showing the questions", 1, 1 + len(arms))
    shown = [name for name in data.ids if split_of[name] == EVALUATED and name not in reasons]
    questions = data.select(shown)
    for done, (arm, show) in enumerate(arms.items(), 2):
        refused = _refused(vlm, questions, show) if shown else {}
        why = next(iter(refused.values())) if shown and len(refused) == len(shown) else ""
        why = why or (_fault(vlm, next(q for q in questions if q.id not in refused), show) if shown else "")
        if why:
            rows.append(("arm", arm, EVALUATED, why))
        else:
            rows += [("question", name, EVALUATED, f"{why}, shown as {arm}") for name, why in refused.items()]
        if progress is not None:
            progress("ways of showing the questions", done, 1 + len(arms))
    rows_of_table = pd.DataFrame(rows, columns=list(RESULTS["left_out"].names))
    return rows_of_table.drop_duplicates(["what", "name"], ignore_index=True)


def _refused(vlm: VLM, questions: Any, show: Arm) -> dict[str, str]:
    """The questions that are refused when shown by an arm, as id -> reason.

    All of them are accepted as they are; an arm adds pictures and a short text. Questions are grouped by the number, size and
    mode of their pictures and the special tokens of the added text. Of each group the longest is tried, and the others only if it
    is refused.
    """
    special = getattr(getattr(vlm.processor, "tokenizer", vlm.processor), "all_special_tokens", [])
    groups: dict[tuple[Any, ...], list[tuple[int, str]]] = {}
    for question in questions:
        images, preamble = show(question)
        length = len(preamble) + len(question.text) + sum(len(step.text) + len(step.answer) for step in question.steps)
        tokens = tuple(token for token in special if token in preamble)
        groups.setdefault((tokens, *((image.size, image.mode) for image in images)), []).append((length, question.id))
    tried = unreadable(vlm, questions.select([max(group)[1] for group in groups.values()]), show)
    rest = [name for group in groups.values() if max(group)[1] in tried for _, name in group]
    return unreadable(vlm, questions.select(rest), show) if rest else {}


def _fault(vlm: VLM, question: Any, show: Arm) -> str:
    """Why the model itself fails on a question that its processor accepts; empty if it does not."""
    images, preamble = show(question)
    try:
        read(vlm, [conversation(question, images=images, preamble=preamble)])
    except MemoryError:
        raise
    except Exception as error:  # a model's forward can raise any error
        if "OutOfMemory" in type(error).__name__:
            raise
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""
