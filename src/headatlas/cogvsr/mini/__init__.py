"""`cogvsr-mini`: 100 questions of the source `scenes` with their pictures, which ship with HeadAtlas.

They do not change when the source does, so they serve for examples, tests and reproducible figures. The folder is an ordinary
dataset (`data/*.parquet` and its card), written by `make`. It is too small for conclusions: split E has 40 questions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "cogvsr-mini"
FOLDER = Path(__file__).parent / "data"
N, SEED = 100, 2026


def make(folder: Path = FOLDER.parent) -> None:
    """Render the questions anew and write `data/` and `README.md` into `folder`; pictures as lossless WebP, half a PNG's size."""
    from headatlas.cogvsr import files
    from headatlas.cogvsr.export.hub import card
    from headatlas.cogvsr.store import CogVSR, load

    made = load("scenes", n=N, seed=SEED)

    def rows() -> Iterator[dict[str, Any]]:
        for row, question in zip(made.rows(), made, strict=True):
            cells = []
            for image in question.images:
                data = io.BytesIO()
                image.save(data, "webp", lossless=True, method=6)
                cells.append({"bytes": data.getvalue(), "path": None})
            yield {**row, "images": cells}

    files.write(rows(), folder / "data")
    text = card(CogVSR(files.open_path(folder / "data"), NAME), NAME)
    (folder / "README.md").write_text(text, encoding="utf-8")
