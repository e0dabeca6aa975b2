"""CogQA and CogVision: questions with subquestions, their answers and the cognitive skill of each.

Input: JSON lists or lines of `{"question", "answer" (a rationale), "generated": [{"subquestion", "answer" (text or number),
"cognitive_skill"}]}`; CogVision's records also name an `image`. `cogvsr/skills.py` maps skills to functions. Steps of self
evaluation and of unknown skills are dropped. A question is left out if its last step is dropped, because the answer of the last
step is taken as the question's answer. Files that HeadAtlas exported in this form give the same questions and steps; ids,
splits, objects and boxes are lost.

Checked once on the authors' files of CogQA: 571 of 572 training and 148 of 148 test questions were imported; the other one ends
in a dropped step. The tests use records of that form. CogVision's files were not available.

Source: arXiv 2512.10978, https://github.com/sihuo-design/CognitiveMirrors; may not be redistributed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from headatlas.cogvsr.functions import check_function
from headatlas.cogvsr.schema import AnswerType, Step
from headatlas.cogvsr.skills import dropped, function_of
from headatlas.importing.chain import words
from headatlas.importing.choices import split_options
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark

_SEES = ("spatial_perception", "relational_reasoning", "low_level_perception", "high_level_perception")
_DASHES = re.compile(r"\n\s*options:\s*\n((?:\s*-\s*.+\n?)+)\s*$", re.IGNORECASE)


@importer(
    "cogqa",
    title="CogQA / CogVision",
    home="https://github.com/sihuo-design/CognitiveMirrors",
    licence="not redistributable",
    shareable=False,
    steps="given",
)
def cogqa(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One draft per question, with the authors' own steps."""
    return each(origin, _draft, "*.json", "*.jsonl")


def _draft(record: Record) -> Draft:
    text = record.text("question").replace("\\n", "\n").strip()
    stem, options = _options(text)
    options = tuple(str(option) for option in record.get("options") or options)
    made = [_step(item) for item in record.items_of("generated")]
    steps = tuple(step for step in made if step is not None)
    if not made or made[-1] is None:
        raise Unusable("its last step has no known skill, so it does not end in an answer")
    last = steps[-1]
    images = record.get("images") or ([record["image"]] if record.get("image") else [])
    pictures = tuple(one if isinstance(one, Picture) else Picture(str(one)) for one in images)
    return Draft(
        key=record.text("id", default="") or mark(record.where + text),
        text=stem,
        answer=last.answer,
        answer_type=last.answer_type,
        steps=steps,
        pictures=pictures,
        options=options,
        family=record.text("family", default=""),
        group="" if pictures else f"text/{mark(stem)}",
    )


def _options(text: str) -> tuple[str, tuple[str, ...]]:
    if m := _DASHES.search(text):
        return text, tuple(line.strip().removeprefix("-").strip() for line in m[1].strip().splitlines())
    return text, tuple(split_options(text)[1].values())


def _step(item: Any) -> Step | None:
    """A step; None for one of a skill that is not known or not kept."""
    if not isinstance(item, dict):
        raise Unusable(f"field generated: must hold objects, got {item!r:.40}")
    skill, text, answer = item.get("cognitive_skill"), str(item.get("subquestion") or "").strip(), item.get("answer")
    given = item.get("functions") or skill
    skills = [str(one) for one in given] if isinstance(given, list) else [str(given or "")]
    functions = [function_of(one) for one in skills if not dropped(one)]
    if not functions or None in functions:
        return None
    said = words(answer).strip() if isinstance(answer, (str, int, float)) else ""
    if not text or not said or said.lower() == "nan":
        raise Unusable(f"a step without text or answer: {text[:40]!r}, {answer!r:.20}")
    known = tuple(dict.fromkeys(check_function(one) for one in functions if one))
    options = tuple(str(one) for one in item.get("options") or ())
    kind, said = _type(said, options)
    if item.get("answer_type") in ("yes_no", "choice", "number", "text"):
        kind, said = item["answer_type"], words(answer).strip()
    return Step(
        text=text.replace("\\n", "\n"),
        answer=said,
        answer_type=kind,
        functions=known,
        options=options,
        kind=str(item.get("kind") or ""),
        needs_image=bool(item.get("needs_image", known[0] in _SEES)),
    )


def _type(said: str, options: tuple[str, ...]) -> tuple[AnswerType, str]:
    if said.strip(".").lower() in ("yes", "no"):
        return "yes_no", said.strip(".").lower()
    if said in options:
        return "choice", said
    if re.fullmatch(r"-?\d+\.0+", said):  # 4.0, as some JSON writers write 4
        return "number", said.split(".")[0]
    return ("number" if re.fullmatch(r"-?\d+(\.\d+)?", said) else "text"), said
