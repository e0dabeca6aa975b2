"""Marks on pictures: which things of a question have boxes, and boxes outlined or covered.

The arms of spatial head activation (`headatlas.latent.methods.sha`) draw them, and a reference VLM can be trained with them.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from PIL import Image, ImageDraw, ImageStat

from headatlas.cogvsr.schema import Box, Question, SceneObject
from headatlas.pictures import upright

LINE = 1 / 80
"""Width of an outline as a share of the image's longer side (at least 2 pixels)."""

COLOURS = ((255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255))
"""Colours of outlines; the one that differs most from the image's mean colour is used."""

_UNCOLOURED = {"", "the", "a", "an", "any", "many", "this", "that", "each", "every", "all", "and", "of"}
"""Words before a class name that are not colours."""


def detectable(question: Question, mentioned: bool = True) -> list[tuple[str, Box]]:
    """Label and box of each visible thing of a question that has a box, in the dataset's order.

    With `mentioned`, only things whose class (and colour, where the text gives that class one) the question names, as a
    detector prompted with the question would find; all things if the question names none.
    """
    things = [thing for thing in question.objects if thing.box is not None and thing.visible != 0.0]
    named = [thing for thing in things if _named(thing, question.text)] if mentioned else []
    return [(label(thing), thing.box) for thing in (named or things) if thing.box is not None]


def label(thing: SceneObject) -> str:
    """Colour and class, or the class alone."""
    return f"{thing.color} {thing.cls}" if thing.color else thing.cls


def _named(thing: SceneObject, text: str) -> bool:
    """Whether the text names the thing: with its colour, or by its class without any colour before it."""
    mentions = re.findall(rf"(\w+\s+)?\b{re.escape(thing.cls)}(?:e?s)?\b", text, flags=re.IGNORECASE)
    if not mentions:
        return False
    if thing.color is None:
        return True
    words = {word.strip().lower() for word in mentions}
    return thing.color.lower() in words or bool(words & _UNCOLOURED)


def outline(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy with an outline around each box; it lies outside the box where there is room, so that it hides little of the
    thing."""
    out = upright(image).copy()
    mean = np.array(ImageStat.Stat(out).mean)
    colour = max(COLOURS, key=lambda c: float(np.abs(np.array(c) - mean).sum()))
    width = max(2, round(max(out.size) * LINE))
    pen = ImageDraw.Draw(out)
    for box in boxes:
        x0, y0, x1, y1 = pixels(box, out.size)
        corners = (
            max(0, x0 - width),
            max(0, y0 - width),
            min(out.width, x1 + width) - 1,
            min(out.height, y1 + width) - 1,
        )
        pen.rectangle(corners, outline=colour, width=width)
    return out


def cover(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy in which each box is filled with the mean colour that it has in `image`."""
    source = upright(image)
    out = source.copy()
    for box in boxes:
        corners = pixels(box, source.size)
        red, green, blue = (round(value) for value in ImageStat.Stat(source.crop(corners)).mean[:3])
        out.paste((red, green, blue), corners)
    return out


def elsewhere(boxes: list[Box], seed: str) -> list[Box]:
    """Boxes of the same number and sizes at uniformly random places, a function of `seed` and the sizes."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little"))
    moved = []
    for box in boxes:
        width, height = box.x1 - box.x0, box.y1 - box.y0
        x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        moved.append(Box(x0=x, y0=y, x1=min(1.0, x + width), y1=min(1.0, y + height)))
    return moved


def pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) in pixels of an image of `size` = (width, height), end exclusive, at least one pixel."""
    width, height = size
    x0, y0 = min(int(box.x0 * width), width - 1), min(int(box.y0 * height), height - 1)
    return x0, y0, max(x0 + 1, round(box.x1 * width)), max(y0 + 1, round(box.y1 * height))
