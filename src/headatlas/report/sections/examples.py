"""Worked examples: a question, its image and steps, and the answers before and after an edit."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from headatlas.errors import HeadAtlasError
from headatlas.pictures import open_picture
from headatlas.report import words
from headatlas.report.page import Note, Section
from headatlas.report.registry import section
from headatlas.report.tables import Run

N_EXAMPLES, PIXELS = 10, 384


@section("examples", order=130)
def examples_section(run: Run) -> Section:
    """Up to ten questions, step by step."""
    examples = [_example(run.path, entry) for entry in run.examples[:N_EXAMPLES]]
    return Section(
        id="examples",
        title="Worked examples",
        intro="Single questions behind the numbers above. Each step shows the right answer, the model's answer, and its answer "
        "while the heads were edited. Steps whose answer became wrong or right are marked.",
        blocks=() if examples else (Note(run.why("examples"), weak=True),),
        kind="examples",
        data=examples,
        short="Examples",
    )


def _example(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    steps = [step for step in entry.get("steps") or [] if isinstance(step, dict)]
    return {
        "question": str(entry.get("question", "")),
        "text": str(entry.get("text", "")),
        "answer": str(entry.get("answer", "")),
        "edit": str(entry.get("edit", "")),
        "image": image_uri(folder, str(entry.get("image") or "")),
        "steps": [
            {
                "text": str(step.get("text", "")),
                "function": words.group(str(step.get("function", ""))),
                "gold": str(step.get("gold", "")),
                "before": str(step.get("before", "")),
                "after": str(step.get("after", "")),
                "right_before": bool(step.get("correct_before")),
                "right_after": bool(step.get("correct_after")),
            }
            for step in steps
        ],
    }


def image_uri(folder: Path, name: str) -> str:
    """The image as a data URI of at most 384 pixels a side; empty if it is missing, unreadable or outside `folder`."""
    file = (folder / name).resolve()
    if not name or not file.is_relative_to(folder.resolve()) or not file.is_file():
        return ""
    try:
        small = open_picture(file)
    except HeadAtlasError:
        return ""
    small.thumbnail((PIXELS, PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=84)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
