"""Write the folder of `cogvsr-mini` again after a change of the source `scenes`: `python -m headatlas.cogvsr.mini.make`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headatlas.cogvsr import files
from headatlas.cogvsr.export.hub import card
from headatlas.cogvsr.mini import FOLDER, NAME, SEED, N
from headatlas.cogvsr.store import CogVSR, load


def make(folder: Path = FOLDER.parent) -> None:
    """Render the questions and write `data/` and `README.md` into `folder`; pictures as lossless WebP, half a PNG's size."""
    scenes = load("scenes", n=N, seed=SEED)

    def rows() -> Iterator[dict[str, Any]]:
        for row, question in zip(scenes.rows(), scenes, strict=True):
            cells = []
            for image in question.images:
                data = io.BytesIO()
                image.save(data, "webp", lossless=True, method=6)
                cells.append({"bytes": data.getvalue(), "path": None})
            yield {**row, "images": cells}

    files.write(rows(), folder / "data")
    text = card(CogVSR(files.open_path(folder / "data"), NAME), NAME)
    (folder / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    make()
