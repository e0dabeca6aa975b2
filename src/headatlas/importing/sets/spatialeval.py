"""SpatialEval: maps, mazes, grids and photographs, asked with text, image or both (configs tqa, vqa, vtqa).

Input: JSON lines, JSON or Parquet with `id` (task, modality, picture, question: `mazenav.vqa.12.0`), `text` with its options,
`image`, `oracle_answer` (words) and `oracle_option` (letter). Questions about one maze, map or grid stay in one split, whatever
their modality.

Written after the documented form and public loaders; tested without real files.

Source: Wang et al. 2024, arXiv 2406.14852; Hugging Face dataset `MilaWang/SpatialEval`.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import MATH, RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import single

_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "spatialmap": (RELATION, SPATIAL),
    "mazenav": (SPATIAL, MATH),
    "spatialgrid": (SPATIAL, MATH),
    "spatialreal": (SPATIAL, RELATION),
}


@importer(
    "spatialeval",
    title="SpatialEval",
    home="https://huggingface.co/datasets/MilaWang/SpatialEval",
    licence="MIT (as its card says)",
    shareable=False,
)
def spatialeval(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record; the question type is task and modality, such as `mazenav vqa`."""
    return each(origin, _draft, *origin.prefer("*.parquet", "*.jsonl", "*.json"))


def _draft(record: Record) -> Draft:
    key, text = record.text("id"), record.text("text")
    task, *rest = key.split(".")
    mode = next((part for part in rest if part in ("tqa", "vqa", "vtqa")), "")
    instance = [part for part in rest if part != mode]
    letter, words = record.text("oracle_option", default=""), record.text("oracle_answer", default="")
    if len(words) == 1 and words.isalpha() and len(letter) != 1:  # some copies have the two the other way round
        letter, words = words, letter
    if not letter and not words:
        raise Unusable("neither oracle_option nor oracle_answer says what is right")
    image = record.get("image") or record.get("image_path")
    if mode != "tqa" and not image:
        raise Unusable("field image: must be an image, got none")
    pictures = [image if isinstance(image, Picture) else Picture(str(image))] if image and mode != "tqa" else []
    return single(
        key.replace(".", "-"),
        asked(text, letter or words),
        pictures,
        _FUNCTIONS.get(task, (SPATIAL,)),
        family=f"{task} {mode}".strip(),
        group=f"{task}.{instance[0]}" if instance else "",
    )
