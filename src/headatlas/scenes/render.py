"""Draw a scene, and compute how much of each thing is visible.

Far things are drawn first, things of one depth in the order of `Scene.things`. Everything is symmetric: the picture of
`scene.mirrored()` is the mirrored picture. `sprites.py` draws the things, `grounds.py` what lies beneath them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from headatlas.scenes import sprites
from headatlas.scenes.grounds import board
from headatlas.scenes.world import CANVAS, Scene, Thing

_SHADOW_COLOR = (30, 28, 52)


def _drawing_order(scene: Scene) -> list[int]:
    """Indices of `scene.things` in the order in which they are drawn."""
    return sorted(range(len(scene.things)), key=lambda i: -scene.things[i].depth)


def _body(thing: Thing, place: str) -> Image.Image:
    upright = sprites.body(thing.cls, thing.color, thing.texture, thing.size, thing.depth, place)
    return sprites.turned(upright, thing.facing)


def _corner(thing: Thing, sprite: Image.Image) -> tuple[int, int]:
    """Top left pixel of a sprite centred on the thing. Sprites have even sides, so rounding is mirror-symmetric."""
    x, y = thing.center
    return round(x - sprite.width / 2), round(y - sprite.height / 2)


def render(scene: Scene, size: int = CANVAS) -> Image.Image:
    """The picture of a scene: RGB, `size x size` pixels. Equal scenes give equal pixels."""
    image = board(scene.place, scene.region)
    for i in _drawing_order(scene):
        thing = scene.things[i]
        mask, lower = sprites.shadow(thing.cls, thing.size, thing.depth, thing.facing)
        x, y = _corner(thing, mask)
        image.paste(_SHADOW_COLOR, (x, y + lower), mask)
        sprite = _body(thing, scene.place)
        image.paste(sprite, _corner(thing, sprite), sprite)
    return image if size == CANVAS else image.resize((size, size), Image.Resampling.LANCZOS)


def visible_shares(scene: Scene) -> tuple[float, ...]:
    """For each thing, the share (0 to 1) of its area that no thing drawn later covers; shadows cover nothing.

    Areas are sums of the sprites' own alpha on the canvas, so the shares are those of `render`.
    """
    clear = np.ones((CANVAS, CANVAS))
    shares = [0.0] * len(scene.things)
    for i in reversed(_drawing_order(scene)):
        thing = scene.things[i]
        sprite = _body(thing, scene.place)
        x, y = _corner(thing, sprite)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + sprite.width, CANVAS), min(y + sprite.height, CANVAS)
        alpha = np.asarray(sprite.getchannel("A"))[y0 - y : y1 - y, x0 - x : x1 - x] / 255.0
        window = clear[y0:y1, x0:x1]
        area = alpha.sum()
        shares[i] = float((alpha * window).sum() / area) if area else 0.0
        window *= 1.0 - alpha
    return tuple(shares)
