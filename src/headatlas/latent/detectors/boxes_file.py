"""The detector `file`: boxes from a file that `headatlas data boxes` or another program wrote.

One JSON object a line: `{"picture": KEY, "label": "red car", "box": [x0, y0, x1, y1]}`, boxes in 0..1 of width and height. KEY is
`picture_key` of the picture, or the question's id.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from headatlas.cogvsr.schema import Box, Question
from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import regular
from headatlas.latent.detectors.base import Detections, detector, picture_key


@detector("file")
class BoxesFile:
    """Boxes read from a file.

    Args:
        source: path of the file.

    Raises:
        HeadAtlasError: the file is missing or a line is not a box; the message names the line.
    """

    def __init__(self, source: str | Path = "") -> None:
        if not source:
            raise HeadAtlasError("detector 'file' needs the path of a file: write it as file:boxes.jsonl")
        self.path = Path(source)
        try:
            self._text = regular(self.path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise HeadAtlasError(f"boxes file {str(source)!r} cannot be read: {error}") from error
        self._found: dict[str, Detections] = {}
        for number, line in enumerate(self._text.split("\n"), 1):
            if line.strip():
                key, label, box = self._row(line, number)
                self._found.setdefault(key, []).extend([] if box is None else [(label, box)])

    def _row(self, line: str, number: int) -> tuple[str, str, Box | None]:
        try:
            row = json.loads(line)
            if row["box"] is None:  # nothing was found in this picture
                return str(row["picture"]), "", None
            x0, y0, x1, y1 = map(float, row["box"])
            return str(row["picture"]), str(row["label"]), Box(x0=x0, y0=y0, x1=x1, y1=y1)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, HeadAtlasError) as error:
            raise HeadAtlasError(
                f'{self.path}, line {number}: a line must be {{"picture": ..., "label": ..., "box": [x0, y0, x1, y1]}} with '
                f"0 <= x0 < x1 <= 1, got {line[:60]!r}"
            ) from error

    @property
    def fingerprint(self) -> str:
        """Covers the file's content."""
        return f"file:{hashlib.sha256(self._text.encode()).hexdigest()[:16]}"

    def __call__(self, question: Question) -> Detections:
        """Boxes of the question's first picture.

        Raises:
            HeadAtlasError: the file has no line for it.
        """
        if not question.images:
            return []
        for key in (question.id, picture_key(question.images[0])):
            if key in self._found:
                return list(self._found[key])
        raise HeadAtlasError(f"{self.path} has no line for the picture of question {question.id!r}: detect again")
