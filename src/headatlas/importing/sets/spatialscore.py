"""SpatialScore: records of a dozen spatial benchmarks in one form; `spatialscore-3dsrbench` and the like import one of them.

Input: the authors' JSON list (`question` with its options, `answer` as "(a)", "B", "No" or "4", `img_paths`, `source`,
`index_origin`). A mirrored 3DSRBench record is in the same group as its original, by the stem of `index_origin`. Videos are
eight frames.

Tested on the real SpatialScore-Hard.

Source: Wu et al. 2025, arXiv 2505.17012, https://github.com/haoningwu3639/SpatialScore.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import HIGH, LOW, MATH, RELATION, SPATIAL
from headatlas.importing.choices import Asked, asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import mark, single, statement

_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "Counting": (MATH, HIGH),
    "Object Localization": (SPATIAL,),
    "3D Positional Relation": (RELATION, SPATIAL),
    "Depth and Distance": (SPATIAL, MATH),
    "Object Properties": (SPATIAL, LOW),
    "Camera and Image Transformation": (SPATIAL, RELATION),
    "Point and Object Tracking": (SPATIAL, LOW),
}
PARTS = {
    "3dsrbench": "3DSRBench",
    "cvbench": "cvbench",
    "blink": "BLINK",
    "vsr": "VSR-ZeroShot",
    "vsibench": "VSI-Bench_8",
}
"""Benchmarks inside SpatialScore that can be imported alone, by our name for them."""


def _draft(record: Record) -> Draft:
    text, answer = record.text("question"), record.text("answer")
    if record.get("question_type") == "multi-choice":
        question = asked(text, answer)
        if not question.options and question.answer_type != "yes_no":
            raise Unusable(f"no options could be read out of the question {text[:60]!r}")
    else:
        question = asked(text, answer)
    if (m := question.text.partition("based on the image: '"))[1]:
        question = Asked(statement(m[2].rstrip("?'")), question.answer, question.answer_type)
    pictures = [Picture(str(path)) for path in record.items_of("img_paths")]
    if not pictures:
        raise Unusable("field img_paths: must have at least one image, got none")
    source, first = record.text("source"), record.text("index_origin", default="")
    category = record.text("category", default="")
    return single(
        f"{record.text('index')}-{mark(text)}",
        question,
        pictures,
        _FUNCTIONS.get(category, (SPATIAL,)),
        family=f"{source}: {record.text('subcategory', default=category)}",
        group=f"{source}/{first.split('-')[0]}" if source == "3DSRBench" and first else "",
    )


def _register(name: str, part: str = "") -> None:
    @importer(
        name,
        title=f"SpatialScore{f', its records of {part}' if part else ''}",
        home="https://github.com/haoningwu3639/SpatialScore",
        licence="MIT (records); questions and images: as their benchmarks allow",
        shareable=False,
        tested_on="real files",
    )
    def read(origin: Origin) -> Iterator[Draft | LeftOut]:
        def convert(record: Record) -> Iterator[Draft]:
            if not part or record.text("source") == part:
                yield _draft(record)

        return each(origin, convert, "SpatialScore*.json", "*.json", "*.jsonl")


_register("spatialscore")
for _name, _part in PARTS.items():
    _register(f"spatialscore-{_name}", _part)
