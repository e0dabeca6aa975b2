"""EmbSpatial-Bench: above, below, left, right, close and far in indoor scenes, seen from the camera.

Input: records with `question_id`, `question`, `answer_options`, `answer` (index, letter or words), `relation` and `image`
(base64, file name or Parquet cell). Of `Phineas476/EmbSpatial-Bench` only `embspatial_bench.json` is read: the training data
beside it have another form.

Written after the documented form and public loaders; tested without real files.

Source: Du et al. 2024, arXiv 2406.05756; Hugging Face datasets `Phineas476/EmbSpatial-Bench`, `FlagEval/EmbSpatial-Bench`.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, Spool, each
from headatlas.importing.registry import importer
from headatlas.importing.single import single


@importer(
    "embspatial",
    title="EmbSpatial-Bench",
    home="https://github.com/mengfeidu/EmbSpatial-Bench",
    licence="not stated; scenes: Matterport3D, ScanNet and AI2-THOR, their terms",
    shareable=False,
)
def embspatial(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record; the question type is its `relation`."""
    spool = Spool()

    def convert(record: Record) -> Draft:
        key, relation = record.text("question_id"), record.text("relation", default="")
        options = [str(option) for option in record.items_of("answer_options")]
        answer = record.get("answer")
        if isinstance(answer, int) and not isinstance(answer, bool):
            if not 0 <= answer < len(options):
                raise Unusable(f"field answer: must be an index of {len(options)} options, got {answer}")
            answer = options[answer]
        image = record.get("image")
        if not isinstance(image, Picture):
            text = record.text("image", "image_path")
            image = spool.picture(f"{key}.jpg", text) if len(text) > 300 or text.startswith("data:") else Picture(text)
        functions = (SPATIAL, RELATION) if relation in ("close", "far") else (RELATION, SPATIAL)
        question = asked(record.text("question"), str(answer), options)
        return single(key, question, [image], functions, family=relation)

    return each(origin, convert, *origin.prefer("*bench*.json", "*.parquet", "*.jsonl", "*.json"))
