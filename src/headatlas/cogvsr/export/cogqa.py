"""Export CogQA's format: a JSON list of questions with `generated` subquestions, answers and cognitive skills.

A step's skill is that of its primary function. Functions, options and answer types, for which the format has no fields, get keys
of their own, so that `headatlas data import cogqa` gives the same questions and steps. Splits, scenes, objects
and boxes are lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headatlas.cogvsr.export.base import save_image, writes
from headatlas.cogvsr.rows import to_question
from headatlas.cogvsr.schema import Question, Step
from headatlas.cogvsr.skills import skill_of
from headatlas.cogvsr.store import CogVSR


@writes("cogqa")
def write_cogqa(data: CogVSR, folder: Path) -> None:
    """Write `cogqa.json` and `images/`."""
    with (folder / "cogqa.json").open("w", encoding="utf-8", newline="\n") as file:
        before = "[\n"
        for row in data.rows():
            names = [save_image(cell["bytes"], folder) for cell in row["images"]]
            record = _record(to_question(row, str(row["id"]), images=False), names)
            file.write(before + json.dumps(record, ensure_ascii=False, allow_nan=False))
            before = ",\n"
        file.write("\n]\n")


def _record(question: Question, images: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": question.id,
        "question": question.text,
        "answer": question.answer,
        "generated": [_step(step) for step in question.steps],
    }
    return record | {"options": list(question.options), "family": question.family, "images": images}


def _step(step: Step) -> dict[str, Any]:
    whole = (
        step.answer_type == "number"
        and str(step.answer).removeprefix("-").isdecimal()
        and str(int(step.answer)) == step.answer
    )
    return {
        "subquestion": step.text,
        "answer": int(step.answer) if whole else step.answer,
        "cognitive_skill": skill_of(step.function),
        "functions": list(step.functions),
        "answer_type": step.answer_type,
        "options": list(step.options),
        "kind": step.kind,
        "needs_image": step.needs_image,
    }
