"""BLINK: its five spatial subsets, with one to four images a question.

Input: Parquet or JSON lines with `idx`, `sub_task`, `question`, `choices`, `answer` ("(A)") and `image_1`..`image_4`. Other
subsets are skipped; test records, whose answer is hidden, are listed as left out.

Written after the documented form (Hugging Face dataset `BLINK-Benchmark/BLINK`), because the authors' file was not available.
BLINK's records inside SpatialScore were tested on real files: use `spatialscore-blink`.

Source: Fu et al. 2024, arXiv 2404.12390.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import HIGH, MATH, RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, each
from headatlas.importing.registry import importer
from headatlas.importing.single import single

_OTHERS = (
    "Art_Style", "Forensic_Detection", "Functional_Correspondence", "IQ_Test", "Jigsaw", "Relative_Reflectance",
    "Semantic_Correspondence", "Visual_Correspondence", "Visual_Similarity",
)  # fmt: skip
"""Subsets that are not spatial; their records are skipped."""

SUBSETS: dict[str, tuple[str, ...]] = {
    "Spatial_Relation": (RELATION, SPATIAL),
    "Relative_Depth": (SPATIAL, RELATION),
    "Counting": (MATH, HIGH),
    "Object_Localization": (SPATIAL,),
    "Multi-view_Reasoning": (SPATIAL, RELATION),
}


@importer(
    "blink",
    title="BLINK, spatial subsets",
    home="https://huggingface.co/datasets/BLINK-Benchmark/BLINK",
    licence="Apache-2.0 (as its card says); images: their owners' terms",
    shareable=False,
    files=tuple(f"*{name}*/*.parquet" for name in SUBSETS),
)
def blink(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record of a spatial subset; the question type is the subset."""
    return each(origin, _drafts, *origin.prefer("*.parquet", "*.jsonl", "*.json"))


def _drafts(record: Record) -> Iterator[Draft]:
    key = record.text("idx")
    subset = record.text("sub_task", default=key.removeprefix("val_").removeprefix("test_").rsplit("_", 1)[0])
    if subset in _OTHERS:
        return
    if subset not in SUBSETS:
        raise Unusable(f"field sub_task: must be a subset of BLINK, got {subset!r:.60}")
    answer = record.text("answer")
    if answer.lower() == "hidden":
        raise Unusable("its answer is hidden: a record of the test split")
    found = [record.get(f"image_{i}") for i in range(1, 5)]
    pictures = [one if isinstance(one, Picture) else Picture(str(one)) for one in found if one]
    # Parquet has a column for each image, empty where a question has fewer.
    pictures = [one for i, one in enumerate(pictures) if i == 0 or one.read is None or one.read()]
    if not pictures:
        raise Unusable("field image_1: must be an image, got none")
    question = asked(record.text("question"), answer, record.items_of("choices"))
    yield single(key, question, pictures, SUBSETS[subset], family=subset)
