"""The source `scenes`: rendered boards with exact ground truth. Knows only where they are built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from headatlas.cogvsr.schema import Question, Split
from headatlas.cogvsr.sources import source


@source("scenes")
def scenes(n: int, seed: int, splits: tuple[str, ...]) -> Iterable[Question]:
    """`n` questions about procedural scenes, the same for the same seed."""
    # Imported when asked for: families and renderer are not needed to open a stored dataset.
    from headatlas.cogvsr.scenes.build import build

    # `build` refuses names that are no split.
    return build(n, seed, cast(tuple[Split, ...], splits))
