"""Draw one thing: outlines, colours, textures and details of the eight classes, drawn once and cached.

A class is a list of parts in its own frame: the front towards -y, the longer side from -1 to 1. Every list of parts is
symmetric in x, so that a mirrored thing is the same thing facing the other way. Parts are drawn four times too large and
reduced, for antialiasing.
"""

from __future__ import annotations

import math
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from headatlas.scenes.world import CANVAS, CELLS, DEPTH_SCALE, DIRECTIONS, SIZE_SCALE

# Pillow's ROTATE_* turn counter-clockwise, DIRECTIONS clockwise.
_TURNS: dict[str, Image.Transpose | None] = dict(
    zip(
        DIRECTIONS,
        (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90),
        strict=True,
    )
)

RGB = tuple[int, int, int]
Number = int | float
Part = tuple[str, tuple[Number, ...]]

_SUPERSAMPLE = 4
_HAZE = (0.0, 0.16, 0.33)
"""Share of the place's haze in a thing's colours, by depth: far things look paler, or darker at night."""
_SHADOW = ((9.0, 4.0, 105), (5.0, 2.6, 100), (2.0, 1.2, 95))
"""(downward offset in pixels, blur in pixels, opacity 0 to 255) of the shadow, by depth: near things float higher."""

PALETTE: dict[str, RGB] = {
    "red": (222, 40, 48),
    "orange": (250, 136, 20),
    "yellow": (255, 221, 40),
    "green": (30, 158, 66),
    "blue": (38, 108, 232),
    "purple": (164, 76, 214),
}
AIR: dict[str, RGB] = {
    "meadow": (206, 226, 178),
    "beach": (243, 226, 192),
    "snow": (232, 240, 248),
    "night": (40, 46, 84),
}
"""The colour of a place's ground, and of the haze in front of far things."""


def _ellipse(x: Number, y: Number, rx: Number, ry: Number) -> Part:
    return "ellipse", (x - rx, y - ry, x + rx, y + ry)


def _round(x0: Number, y0: Number, x1: Number, y1: Number, radius: Number) -> Part:
    return "round", (x0, y0, x1, y1, radius)


def _poly(*points: tuple[Number, Number]) -> Part:
    return "poly", tuple(value for point in points for value in point)


def _both(kind: Part) -> list[Part]:
    """The part and its mirror image in x."""
    name, v = kind
    if name == "poly":
        return [kind, ("poly", tuple(-value if i % 2 == 0 else value for i, value in enumerate(v)))]
    return [kind, (name, (-v[2], v[1], -v[0], *v[3:]))]


def _star() -> Part:
    radii = (1.05, 0.5)
    turns = [(radii[i % 2], math.pi * i / 5) for i in range(10)]
    return _poly(*((r * math.sin(a), 0.08 - r * math.cos(a)) for r, a in turns))


BODY: dict[str, list[Part]] = {
    "circle": [_ellipse(0, 0, 0.96, 0.96)],
    "square": [_round(-0.88, -0.88, 0.88, 0.88, 0.14)],
    "triangle": [_poly((0, -0.94), (1.0, 0.82), (-1.0, 0.82))],
    "star": [_star()],
    "arrow": [_poly((0, -1.0), (0.82, -0.1), (0.36, -0.1), (0.36, 0.98), (-0.36, 0.98), (-0.36, -0.1), (-0.82, -0.1))],
    "car": [_round(-0.52, -0.98, 0.52, 0.98, 0.3)],
    "dog": [
        _ellipse(0, 0.3, 0.36, 0.44),
        _ellipse(0, -0.44, 0.4, 0.32),
        _round(-0.22, -0.98, 0.22, -0.5, 0.2),
    ],
    "fish": [
        _poly((0, -1.0), (0.3, -0.72), (0.44, -0.3), (0.4, 0.1), (0.12, 0.62), (0, 0.62)),
        _poly((0, -1.0), (-0.3, -0.72), (-0.44, -0.3), (-0.4, 0.1), (-0.12, 0.62), (0, 0.62)),
        _ellipse(0, -0.3, 0.44, 0.62),
    ],
}
"""Parts that have the thing's colour and texture."""

UNDER: dict[str, list[tuple[str, Part]]] = {
    "car": [("ink", p) for y in (-0.58, 0.56) for p in _both(_round(0.42, y - 0.2, 0.7, y + 0.2, 0.08))],
    "dog": [
        *(("base", p) for p in _both(_ellipse(0.4, -0.02, 0.17, 0.15))),
        *(("base", p) for p in _both(_ellipse(0.4, 0.6, 0.17, 0.15))),
        ("base", _round(-0.1, 0.6, 0.1, 1.0, 0.1)),
    ],
    "fish": [
        *(("shade", p) for p in _both(_poly((0.3, -0.42), (0.86, 0.02), (0.76, 0.2), (0.3, 0.08)))),
        ("shade", _poly((0, 0.3), (0.62, 0.98), (0, 0.8), (-0.62, 0.98))),
    ],
}
"""Parts beneath the body that belong to its outline: wheels, legs, fins."""

DETAILS: dict[str, list[tuple[str, Part]]] = {
    "car": [
        # The bonnet has no texture, so that the front differs from the boot even where lamps are a pixel wide.
        ("base", _round(-0.49, -0.95, 0.49, -0.3, 0.26)),
        ("glass", _poly((-0.46, -0.48), (0.46, -0.48), (0.36, -0.06), (-0.36, -0.06))),
        ("glass", _poly((-0.34, 0.66), (0.34, 0.66), (0.38, 0.8), (-0.38, 0.8))),
        *(("lamp", p) for p in _both(_ellipse(0.34, -0.86, 0.18, 0.14))),
    ],
    "dog": [
        *(("deep", p) for p in _both(_ellipse(0.44, -0.38, 0.14, 0.27))),
        ("cream", _round(-0.2, -0.96, 0.2, -0.5, 0.19)),
        *(("ink", p) for p in _both(_ellipse(0.19, -0.46, 0.07, 0.08))),
        ("ink", _ellipse(0, -0.88, 0.14, 0.11)),
    ],
    "fish": [
        *(("white", p) for p in _both(_ellipse(0.27, -0.58, 0.16, 0.16))),
        *(("ink", p) for p in _both(_ellipse(0.29, -0.61, 0.09, 0.09))),
    ],
}
"""Parts on top, in fixed colours."""


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """The colour `a` mixed with a share (0 to 1) of `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # pyright: ignore[reportReturnType]


def span(size: str, depth: int) -> float:
    """Longer side of a thing in canvas pixels (`Thing.span`)."""
    return CANVAS / CELLS * SIZE_SCALE[size] * DEPTH_SCALE[depth]


def _draw(mask: Image.Image, part: Part, half: float, fill: int = 255) -> None:
    """Draw one part into an L image whose middle is the origin; `half` is the length of one unit in its pixels."""
    pen, middle = ImageDraw.Draw(mask), mask.width / 2
    name, values = part
    count = 4 if name == "round" else len(values)
    # Pillow's right and bottom pixels are included: the half pixel keeps left and right equal.
    xy = [middle - 0.5 + value * half for value in values[:count]]
    if name == "ellipse":
        pen.ellipse(xy, fill=fill)
    elif name == "round":
        pen.rounded_rectangle(xy, radius=values[4] * half, fill=fill)
    else:
        pen.polygon(xy, fill=fill)


def symmetric(image: Image.Image) -> Image.Image:
    """The left half and its mirror image: Pillow's polygons are a pixel off, and mirrored scenes must match."""
    left = image.crop((0, 0, image.width // 2, image.height))
    image.paste(ImageOps.mirror(left), (image.width // 2, 0))
    return image


def _texture(texture: str, size: int, half: float) -> Image.Image:
    """L mask of where the pattern lies: bands across the thing, or dots."""
    mask = Image.new("L", (size, size), 0)
    if texture == "striped":
        for i in range(-3, 4):
            _draw(mask, _round(-1.2, i * 0.56 - 0.14, 1.2, i * 0.56 + 0.14, 0.0), half)
    elif texture == "dotted":
        for j in range(-3, 4):
            for i in range(-3, 4):
                _draw(mask, _ellipse((i + (j % 2) / 2) * 0.6, j * 0.5, 0.17, 0.17), half)
    return mask


@lru_cache(maxsize=32)
def _silhouette(cls: str, size: str, depth: int) -> tuple[Image.Image, Image.Image, int, float]:
    """(mask of all parts, mask with its outline, side in supersampled pixels, pixels of one unit)."""
    line = (1.3 + 0.02 * span(size, depth)) * _SUPERSAMPLE
    side = 2 * math.ceil(span(size, depth) / 2 + 2)
    big = side * _SUPERSAMPLE
    half = span(size, depth) / 2 * _SUPERSAMPLE - line
    inner = Image.new("L", (big, big), 0)
    for part in [p for _, p in UNDER.get(cls, [])] + BODY[cls] + [p for _, p in DETAILS.get(cls, [])]:
        _draw(inner, part, half)
    # Grown by a square pen and rounded by a thresholded blur, in steps: one big step would square the curves.
    outer = inner
    for _ in range(3):
        grown = outer.filter(ImageFilter.MaxFilter(2 * max(1, round(line / 3)) + 1))
        outer = grown.filter(ImageFilter.GaussianBlur(line / 4)).point([255 * (v > 127) for v in range(256)])
    return symmetric(inner), symmetric(ImageChops.lighter(outer, inner)), big, half


@lru_cache(maxsize=8192)
def body(cls: str, color: str, texture: str, size: str, depth: int, place: str) -> Image.Image:
    """The thing facing up, hazed, without its shadow: a square RGBA image of even side with the thing in its middle."""
    inner, outer, big, half = _silhouette(cls, size, depth)
    base, air = PALETTE[color], AIR[place]
    tones: dict[str, RGB] = {
        "ink": (34, 34, 44),
        "white": (255, 255, 255),
        "glass": (58, 78, 118),
        "lamp": (255, 250, 190),
        "cream": (255, 240, 214),
        "shade": mix(base, (0, 0, 0), 0.22),
        "deep": mix(base, (20, 10, 30), 0.58),
        "light": mix(base, (255, 255, 255), 0.72),
        "line": mix(base, (255, 255, 255), 0.8) if place == "night" else mix(base, (24, 20, 40), 0.66),
    }
    haze = {name: mix(tone, air, _HAZE[depth]) for name, tone in {**tones, "base": base}.items()}
    image = Image.new("RGB", (big, big), haze["line"])
    image.paste(haze["base"], (0, 0), inner)

    def fill(tone: str, parts: list[Part], pattern: Image.Image | None = None) -> None:
        mask = Image.new("L", (big, big), 0)
        for part in parts:
            _draw(mask, part, half)
        image.paste(haze[tone], (0, 0), ImageChops.multiply(mask, pattern) if pattern else mask)

    for tone, part in UNDER.get(cls, []):
        fill(tone, [part])
    fill("base", BODY[cls])
    if texture != "plain":
        # Light bands and dark dots can be told apart even if a thing is a dozen pixels wide.
        fill("light" if texture == "striped" else "deep", BODY[cls], _texture(texture, big, half))
    for tone, part in DETAILS.get(cls, []):
        fill(tone, [part])
    image.putalpha(outer)
    return symmetric(image).reduce(_SUPERSAMPLE)


def turned(image: Image.Image, facing: str | None) -> Image.Image:
    """An image that faces up, turned to face `facing`; None leaves it as it is."""
    turn = _TURNS[facing] if facing else None
    return image if turn is None else image.transpose(turn)


@lru_cache(maxsize=512)
def shadow(cls: str, size: str, depth: int, facing: str | None) -> tuple[Image.Image, int]:
    """(L mask of a thing's soft shadow with the thing's middle at its own, how many pixels it lies lower)."""
    outer = _silhouette(cls, size, depth)[1].reduce(_SUPERSAMPLE)
    offset, blur, opacity = _SHADOW[depth]
    pad = math.ceil(3 * blur)
    mask = Image.new("L", (outer.width + 2 * pad, outer.height + 2 * pad), 0)
    mask.paste(turned(outer, facing), (pad, pad))
    return mask.filter(ImageFilter.GaussianBlur(blur)).point([v * opacity // 255 for v in range(256)]), round(offset)
