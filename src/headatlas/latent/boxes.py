"""Detect the things of a whole dataset once: writes a file of boxes for the detector `file`, and a contact sheet to check
them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

from headatlas.cogvsr.marks import COLOURS, pixels
from headatlas.cogvsr.schema import Question
from headatlas.errors import HeadAtlasError
from headatlas.latent.detectors import Detections, Detector
from headatlas.pictures import upright
from headatlas.progress import Progress
from headatlas.storage import check_out_folder, write_whole

TILE = 224
"""Width and height of a picture on the sheet, in pixels."""
COLUMNS = 6
CAPTION = 28


def write_boxes(
    questions: Iterable[Question],
    detector: Detector,
    out: str | Path,
    n_shown: int = 60,
    progress: Progress | None = None,
) -> tuple[Path, Path, int]:
    """Write `boxes.jsonl` and `sheet.png` to the folder `out`.

    Args:
        questions: those without a picture are skipped; boxes are stored by question.
        detector: finds the things.
        out: a folder, created if it does not exist.
        n_shown: most pictures on the sheet.
        progress: called as `progress("boxes", done, total)`.

    Returns:
        Both paths, and the number of pictures in which nothing was found.

    Raises:
        HeadAtlasError: no question has a picture, or the folder cannot be written.
    """
    chosen = [question for question in questions if question.images]
    if not chosen:
        raise HeadAtlasError("no question has a picture to detect things in")
    folder, lines, shown, empty = Path(out), [], [], 0
    check_out_folder(folder)
    for done, question in enumerate(chosen, 1):
        detections = detector(question)
        empty += not detections
        rows = [{"label": label, "box": [box.x0, box.y0, box.x1, box.y1]} for label, box in detections]
        for row in rows or [{"label": "", "box": None}]:
            lines.append(json.dumps({"picture": question.id, **row}, ensure_ascii=False))
        if len(shown) < n_shown:
            shown.append(_tile(question, detections))
        if progress is not None:
            progress("boxes", done, len(chosen))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        boxes, sheet = folder / "boxes.jsonl", folder / "sheet.png"
        write_whole(boxes, ("\n".join(lines) + "\n").encode())
        _sheet(shown).save(sheet)
    except OSError as error:
        raise HeadAtlasError(f"{str(out)!r} cannot be written ({error.strerror or error})") from error
    return boxes, sheet, empty


def _tile(question: Question, found: Detections) -> Image.Image:
    """The picture with its boxes, and the question below it."""
    image = upright(question.images[0]).convert("RGB")
    image.thumbnail((TILE, TILE))
    tile = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    pen = ImageDraw.Draw(image)
    for i, (label, box) in enumerate(found):
        colour = COLOURS[i % 3]
        x0, y0, x1, y1 = pixels(box, image.size)
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=2)
        pen.text((x0 + 3, y0 + 2), _plain(label)[:24], fill=colour, stroke_width=1, stroke_fill=(0, 0, 0))
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    words = _plain(question.text)
    ImageDraw.Draw(tile).multiline_text((4, TILE + 2), f"{words[:36]}\n{words[36:72]}", fill="black", spacing=1)
    return tile


def _sheet(tiles: list[Image.Image]) -> Image.Image:
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (min(len(tiles), COLUMNS) * (TILE + 8), rows * (TILE + CAPTION + 8)), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, ((i % COLUMNS) * (TILE + 8) + 4, (i // COLUMNS) * (TILE + CAPTION + 8) + 4))
    return sheet


def _plain(text: str) -> str:
    """The text without characters that the built-in font cannot draw."""
    return "".join(c if c.isprintable() else " " for c in text).encode("latin-1", "replace").decode("latin-1")
