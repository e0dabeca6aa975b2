import torch
from PIL import Image

from headatlas.vlm.pixels import ImageKeys, PixelMemo


class Counting:
    """An image processor that counts its calls and is the real one otherwise."""

    def __init__(self, real):
        self.real, self.calls = real, 0

    def __call__(self, images, **kwargs):
        self.calls += 1
        return self.real(images, **kwargs)


class Mixing:
    """A processor whose output for one image depends on the others, as those that pad to the largest do."""

    def __call__(self, images, **kwargs):
        flat = [image for row in images for image in row]
        return {"pixel_values": torch.full((len(flat), 3), float(len(flat)))}


def pictures(n):
    return [[Image.new("RGB", (40, 40), (20 * i, 0, 0))] for i in range(n)]


def test_each_image_is_processed_once_and_the_same(tiny_vlm):
    real = Counting(tiny_vlm.processor.image_processor)
    memo = PixelMemo(ImageKeys())
    images = pictures(4)
    kwargs = {"return_tensors": "pt"}
    memo.process(real, images, kwargs)
    before = real.calls
    for rows in (images, images[::-1], images[1:3]):
        got = memo.process(real, [list(row) for row in rows], kwargs)
        want = tiny_vlm.processor.image_processor(rows, **kwargs)
        assert torch.equal(got["pixel_values"], want["pixel_values"])
    assert real.calls == before


def test_a_processor_that_mixes_rows_is_never_joined():
    memo, real = PixelMemo(ImageKeys()), Mixing()
    images = pictures(3)
    for _ in range(2):
        assert memo.process(real, images, {})["pixel_values"].eq(3).all()
    assert memo.process(real, images[:2], {})["pixel_values"].eq(2).all()


def test_least_recently_used_rows_are_dropped(tiny_vlm):
    real = Counting(tiny_vlm.processor.image_processor)
    images = pictures(3)
    one = tiny_vlm.processor.image_processor(images[:1], return_tensors="pt")["pixel_values"].nbytes
    memo = PixelMemo(ImageKeys(), max_bytes=2 * one)
    for row in images:
        memo.process(real, [row], {"return_tensors": "pt"})
    assert real.calls == 3
    memo.process(real, [images[2]], {"return_tensors": "pt"})
    assert real.calls == 3
    memo.process(real, [images[0]], {"return_tensors": "pt"})
    assert real.calls == 4


def test_keys_are_by_content():
    keys = ImageKeys()
    red, also_red, blue = (Image.new("RGB", (9, 9), color) for color in ("red", "red", "blue"))
    assert keys(red) == keys(also_red) != keys(blue)
    assert keys(Image.new("L", (9, 9))) != keys(Image.new("L", (3, 27)))
