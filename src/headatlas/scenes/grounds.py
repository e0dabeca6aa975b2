"""Draw what lies beneath the things: the ground of each place, and the frame of a region.

Grounds are drawn once. They are deterministic and symmetric left to right, so that a mirrored scene is a mirrored picture.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from headatlas.scenes.sprites import AIR, RGB, mix, symmetric
from headatlas.scenes.world import CANVAS, CELLS, PLACES, Region

_FRAME_MARGIN = 6


def _clouds(rng: np.random.Generator, blur: int | float, strength: float) -> np.ndarray:
    """Smooth noise of mean 0, [CANVAS, CANVAS] float, symmetric left to right; `strength` is its standard deviation."""
    raw = Image.fromarray(rng.integers(0, 256, (CANVAS, CANVAS), dtype=np.uint8))
    noise = np.asarray(raw.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float64)
    noise = noise + noise[:, ::-1]
    return (noise - noise.mean()) / noise.std() * strength


def _marks(place: str, rng: np.random.Generator) -> tuple[Image.Image, RGB]:
    """(L mask of the small marks of a place, their colour): grass, ripples of sand, snow crystals, stars."""
    scale, half = 4, CANVAS // 2
    mask = Image.new("L", (half * scale, CANVAS * scale), 0)
    pen = ImageDraw.Draw(mask)
    spots = [(rng.uniform(6, half - 6), rng.uniform(6, CANVAS - 6), rng.uniform(0.6, 1.4)) for _ in range(90)]
    for x, y, s in spots:
        x, y = x * scale, y * scale
        if place == "meadow":
            for lean in (-3, 0, 3):
                tip = (x + lean * scale * s, y - 5 * scale * s)
                pen.line([(x + lean, y), tip], fill=150, width=5)
        elif place == "beach":
            w = 8 * s * scale
            pen.arc((x - w, y - w / 3, x + w, y + w / 3), 190, 350, fill=110, width=5)
        elif place == "snow":
            r = 1.6 * s * scale
            pen.line([(x - r * 1.4, y), (x + r * 1.4, y)], fill=190, width=4)
            pen.line([(x, y - r * 1.4), (x, y + r * 1.4)], fill=190, width=4)
        else:
            r = 0.8 * s * scale
            pen.ellipse((x - r, y - r, x + r, y + r), fill=int(70 + 90 * (s - 0.6)))
    left = mask.reduce(scale)
    whole = Image.new("L", (CANVAS, CANVAS), 0)
    whole.paste(left, (0, 0))
    whole.paste(ImageOps.mirror(left), (half, 0))
    tones: dict[str, RGB] = {
        "meadow": (150, 188, 116),
        "beach": (212, 184, 136),
        "snow": (188, 208, 230),
        "night": (190, 200, 240),
    }
    return whole, tones[place]


@lru_cache(maxsize=4)
def ground(place: str) -> Image.Image:
    """The empty board of a place: RGB, CANVAS x CANVAS. Do not draw into it: it is cached."""
    rng = np.random.default_rng(1000 + PLACES.index(place))
    light = _clouds(rng, 22, 3.5) + _clouds(rng, 0.7, 1.6)
    rgb = np.asarray(AIR[place], dtype=np.float64) + light[..., None]
    if place == "beach":
        ripple = np.sin(np.arange(CANVAS) / CANVAS * 2 * np.pi * 14)[:, None, None]
        rgb = rgb + 2.5 * ripple
    image = Image.fromarray(rgb.clip(0, 255).round().astype(np.uint8), "RGB")
    mask, tone = _marks(place, rng)
    image.paste(mix(AIR[place], tone, 0.9), (0, 0), mask)
    return image


@lru_cache(maxsize=CELLS * CELLS)
def _frame(rows: int, columns: int) -> Image.Image:
    """RGBA frame around `rows x columns` cells, with a margin of `_FRAME_MARGIN` px outside them."""
    cell, scale, inset = CANVAS // CELLS, 4, 1
    size = (columns * cell + 2 * _FRAME_MARGIN, rows * cell + 2 * _FRAME_MARGIN)
    image = Image.new("RGBA", (size[0] * scale, size[1] * scale), (255, 255, 255, 0))
    pen = ImageDraw.Draw(image)

    def ring(grow: int | float, fill: tuple[int, int, int, int]) -> None:
        lo, radius = (_FRAME_MARGIN + inset - grow) * scale, (11 + grow) * scale
        box = (lo, lo, size[0] * scale - 1 - lo, size[1] * scale - 1 - lo)
        pen.rounded_rectangle(box, radius=radius, fill=fill)

    # Painted from outside in: dark edge, light line, dark edge, and a faint veil over what it holds.
    ring(4.5, (52, 44, 70, 255))
    ring(3.2, (255, 252, 240, 255))
    ring(-2.2, (52, 44, 70, 255))
    ring(-3.5, (255, 252, 240, 34))
    # Premultiplied reduction would be exact; the veil's colour equals the line's, so plain reduction shows no fringe.
    return symmetric(image).reduce(scale)


def board(place: str, region: Region | None) -> Image.Image:
    """A fresh RGB board of CANVAS x CANVAS pixels: the ground, and the region's frame on it."""
    image = ground(place).copy()
    if region is not None:
        cell = CANVAS // CELLS
        frame = _frame(region.row1 - region.row0 + 1, region.column1 - region.column0 + 1)
        at = ((region.column0 - 1) * cell - _FRAME_MARGIN, (region.row0 - 1) * cell - _FRAME_MARGIN)
        image.paste(frame, at, frame)
    return image
