"""3DSRBench: height, place, orientation and relations of things in 3D, with mirrored pictures and rotated options.

Input: the authors' TSV for VLMEvalKit (`index`, `question`, `A`..`D`, `answer` (a letter), `category`, `image` as base64 or the
index of an earlier row), their CSV, or the hub's Parquet (`image_url`). Variants of a question share the stem of `index`
(`NF7XUVPP`, `NF7XUVPP-flip`, `NF7XUVPP-flip-1`) and stay in one split.

Written after the documented form and the authors' evaluation, which reads `3dsrbench_v1_vlmevalkit_circular.tsv`; the file
itself was not available. 3DSRBench's records inside SpatialScore were tested on real files: use `spatialscore-3dsrbench`.

Source: Ma et al. 2024, arXiv 2412.07825; Hugging Face dataset `ccvl/3DSRBench`.
"""

from __future__ import annotations

from collections.abc import Iterator

from headatlas.importing.chain import LOW, RELATION, SPATIAL
from headatlas.importing.choices import asked
from headatlas.importing.draft import Draft, LeftOut, Picture, Unusable
from headatlas.importing.origin import Origin
from headatlas.importing.records import Record, Spool, each
from headatlas.importing.registry import importer
from headatlas.importing.single import single


@importer(
    "3dsrbench",
    title="3DSRBench",
    home="https://huggingface.co/datasets/ccvl/3DSRBench",
    licence="CC-BY-4.0 (annotations); photographs: COCO, their owners' licences",
    shareable=False,
)
def threedsrbench(origin: Origin) -> Iterator[Draft | LeftOut]:
    """One choice question per record; the question type is its `category`."""
    spool, seen = Spool(), dict[str, Picture]()

    def convert(record: Record) -> Draft:
        key = record.text("index", "qid")
        options = [record.text(letter, default="") for letter in "ABCDEF"]
        options = [option for option in options if option]
        if len(options) < 2:
            raise Unusable(f"fields A, B, ...: must have two or more options, got {options}")
        category = record.text("category", default="")
        functions = (RELATION, SPATIAL) if category.startswith("multi_object") else (SPATIAL, RELATION)
        functions = (SPATIAL, LOW) if category.startswith("height") else functions
        question = asked(record.text("question"), record.text("answer"), options)
        return single(key, question, [picture(record, key)], functions, category, group=key.split("-")[0])

    def picture(record: Record, key: str) -> Picture:
        if isinstance(record.get("image"), Picture):
            return record["image"]
        text = record.text("image", default="")
        if text in seen:  # a row whose image is that of an earlier row, named by its index
            return seen[text]
        if len(text) > 64:
            seen[key] = spool.picture(f"{key}.jpg", text)
            return seen[key]
        url = record.text("image_url", "url", default="")
        name = text or record.text("image_path", "file_name", default="") or "/".join(url.split("/")[-2:])
        if not name:
            raise Unusable("no image, image_url or image_path")
        return Picture(name, url)

    # Its TSV has the mirrored and rotated variants, the others have not.
    return each(origin, convert, *origin.prefer("*circular*.tsv", "*.tsv", "*.parquet", "*.csv", "*.jsonl", "*.json"))
