"""Worked examples: a question, its image and steps, and the answers before an edit, after it, and with random heads instead."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from headatlas.cogvsr.functions import SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.pictures import open_picture
from headatlas.report import words
from headatlas.report.blocks import all_scorers
from headatlas.report.page import Block, Examples, Note, PerScorer, Section
from headatlas.report.registry import section
from headatlas.report.tables import Run

N_EXAMPLES, N_OPEN, PIXELS = 10, 4, 384
"""Examples of each scorer, and those of them that are not folded; longest side of a picture."""


@section("examples", order=130)
def examples_section(run: Run) -> Section:
    """Questions step by step: before, without the spatial heads, and without as many random heads."""
    blocks: tuple[Block, ...] = (Note(run.why("examples"), weak=True),)
    if run.examples:
        scorers = all_scorers(run)
        views = {
            scorer: _view(run, [e for e in run.examples if e.get("scorer", scorer) == scorer]) for scorer in scorers
        }
        blocks = (PerScorer(views),)
    return Section(
        id="examples",
        title="Worked examples",
        intro="Single questions behind the numbers. Each step shows the right answer, and what the model answers with all its "
        "heads, without its spatial heads, and without as many random heads. Steps whose answer changes are marked.",
        blocks=blocks,
        short="Examples",
    )


def _view(run: Run, entries: list[dict[str, Any]]) -> tuple[Block, ...]:
    """The examples of one scorer: those in which only spatial steps break, then others in plain order, folded."""
    if not entries:
        return (Note("No spatial heads found in this way were silenced, so there are no examples.", weak=True),)
    shown = [_example(run.path, entry) for entry in entries[:N_EXAMPLES]]
    chosen = [example for example in shown if example["selected"]]
    others = [example for example in shown if not example["selected"]]
    notes = [_edit(entries[0]), *([_counts(entries[0])] if "n_questions" in entries[0] else [])]
    blocks: list[Block] = [Note(note) for note in notes if note]
    if chosen:
        blocks.append(Examples(tuple(chosen[:N_OPEN]), "Chosen: only spatial steps break"))
        if len(chosen) > N_OPEN:
            blocks.append(Examples(tuple(chosen[N_OPEN:]), f"{len(chosen) - N_OPEN} more such questions", folded=True))
    if others:
        title = "Not chosen: the next questions of the split, whatever happens in them"
        blocks.append(Examples(tuple(others), title, folded=bool(chosen)))
    return tuple(blocks)


def _edit(entry: dict[str, Any]) -> str:
    if not entry.get("heads"):
        return f"Edit: {entry['edit']}." if entry.get("edit") else ""
    random = f"; random heads: {entry['random_heads']}" if entry.get("random_heads") else ""
    return f"Silenced: {entry['heads']} ({words.group(str(entry.get('heads_of', ''))).lower()}, {entry.get('edit', '')}){random}."


def _counts(entry: dict[str, Any]) -> str:
    of = words.count(entry.get("n_questions"))
    text = f"Of {of} questions, {words.count(entry.get('n_only_spatial'))} lose spatial steps and nothing else"
    if words.known(entry.get("n_random_changed")):
        text += f"; the random heads cost {words.count(entry['n_random_changed'])} questions a right step"
    return text + "."


def _example(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    steps = [step for step in entry.get("steps") or [] if isinstance(step, dict)]
    return {
        "question": str(entry.get("question", "")),
        "text": str(entry.get("text", "")),
        "answer": str(entry.get("answer", "")),
        "image": image_uri(folder, str(entry.get("image") or "")),
        "selected": entry.get("selected") is True,
        "has_random": any(step.get("random") is not None for step in steps),
        "steps": [
            {
                "text": str(step.get("text", "")),
                "function": words.group(str(step.get("function", ""))),
                "spatial": step.get("function") in SPATIAL,
                "gold": str(step.get("gold", "")),
                "before": str(step.get("before", "")),
                "after": str(step.get("after", "")),
                "random": None if step.get("random") is None else str(step["random"]),
                "right_before": bool(step.get("correct_before")),
                "right_after": bool(step.get("correct_after")),
                "right_random": bool(step.get("correct_random")),
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
