"""`cogvsr-mini`: a hundred questions of the scenes source, with their pictures, that ship with HeadAtlas.

Everybody gets the same bytes, whatever the scenes source may become: for examples, tests, and figures that others can check.
The folder is an ordinary dataset (`data/*.parquet` and its card), written by `make`. It is too small for conclusions: split E
has forty questions.
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
    told = card(CogVSR(files.open_path(folder / "data"), NAME), NAME)
    (folder / "README.md").write_text(told, encoding="utf-8")
