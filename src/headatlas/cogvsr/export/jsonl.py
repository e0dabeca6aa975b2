"""Export JSON lines: one question a line, its images as files. `cogvsr.load` reads it back exactly.

Images keep their encoded bytes, so that fingerprints agree.
"""

from __future__ import annotations

import json
from pathlib import Path

from headatlas.cogvsr.export.base import save_image, writes
from headatlas.cogvsr.rows import to_question
from headatlas.cogvsr.store import CogVSR


@writes("jsonl")
def write_jsonl(data: CogVSR, folder: Path) -> None:
    """Write `questions.jsonl` and `images/`."""
    with (folder / "questions.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for row in data.rows():
            question = to_question(row, str(row["id"]), images=False)
            record = question.model_dump(mode="json", exclude={"images"}, exclude_none=True)
            record["images"] = [save_image(cell["bytes"], folder) for cell in row["images"]]
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
