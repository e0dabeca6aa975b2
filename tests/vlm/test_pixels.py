import copy

import torch
from PIL import Image

from headatlas.vlm.pixels import PixelCache, image_key


class Counting:
    """An image processor that counts its calls and is the real one otherwise."""

    def __init__(self, real):
        self.real, self.calls = real, 0

    def __call__(self, images, **kwargs):
        self.calls += 1
        return self.real(images, **kwargs)

    def to_dict(self):
        return self.real.to_dict()


class Mixing:
    """A processor whose output for one image depends on the others, as those that pad to the largest do."""

    def __call__(self, images, **kwargs):
        flat = [image for row in images for image in row]
        return {"pixel_values": torch.full((len(flat), 3), float(len(flat)))}


def pictures(n):
    return [[Image.new("RGB", (40, 40), (20 * i, 0, 0))] for i in range(n)]


def test_each_image_is_processed_once_and_the_same(tiny_vlm):
    real = Counting(tiny_vlm.processor.image_processor)
    cache = PixelCache()
    images = pictures(4)
    kwargs = {"return_tensors": "pt"}
    cache.process(real, images, kwargs)
    before = real.calls
    for rows in (images, images[::-1], images[1:3]):
        got = cache.process(real, [list(row) for row in rows], kwargs)
        want = tiny_vlm.processor.image_processor(rows, **kwargs)
        assert torch.equal(got["pixel_values"], want["pixel_values"])
    assert real.calls == before


def test_a_processor_that_mixes_rows_is_never_joined():
    cache, real = PixelCache(), Mixing()
    images = pictures(3)
    for _ in range(2):
        assert cache.process(real, images, {})["pixel_values"].eq(3).all()
    assert cache.process(real, images[:2], {})["pixel_values"].eq(2).all()


def test_least_recently_used_rows_are_dropped(tiny_vlm):
    real = Counting(tiny_vlm.processor.image_processor)
    images = pictures(3)
    one = tiny_vlm.processor.image_processor(images[:1], return_tensors="pt")["pixel_values"].nbytes
    cache = PixelCache(max_bytes=2 * one)
    for row in images:
        cache.process(real, [row], {"return_tensors": "pt"})
    assert real.calls == 3
    cache.process(real, [images[2]], {"return_tensors": "pt"})
    assert real.calls == 3
    cache.process(real, [images[0]], {"return_tensors": "pt"})
    assert real.calls == 4


def test_keys_are_by_content_at_every_use():
    red, also_red, blue = (Image.new("RGB", (9, 9), color) for color in ("red", "red", "blue"))
    assert image_key(red) == image_key(also_red) != image_key(blue)
    assert image_key(Image.new("L", (9, 9))) != image_key(Image.new("L", (3, 27)))
    red.paste("blue", (0, 0, 9, 9))
    assert image_key(red) == image_key(blue)


def test_an_image_drawn_on_after_its_first_use_is_processed_anew(tiny_vlm):
    real, cache, (row,) = tiny_vlm.processor.image_processor, PixelCache(), pictures(1)
    before = cache.process(real, [row], {"return_tensors": "pt"})["pixel_values"]
    row[0].paste("green", (0, 0, 20, 40))
    after = cache.process(real, [row], {"return_tensors": "pt"})["pixel_values"]
    assert not torch.equal(before, after)
    assert torch.equal(after, real([row], return_tensors="pt")["pixel_values"])


def test_other_settings_of_the_processor_are_seen(tiny_vlm):
    real, cache, rows = copy.deepcopy(tiny_vlm.processor.image_processor), PixelCache(), pictures(2)
    cache.process(real, rows, {"return_tensors": "pt"})
    real.image_mean = (0.1, 0.2, 0.3)
    for _ in range(2):
        found = cache.process(real, rows, {"return_tensors": "pt"})["pixel_values"]
        assert torch.equal(found, real(rows, return_tensors="pt")["pixel_values"])
