import io
import os
import threading

import numpy as np
import pytest
from PIL import Image, ImageOps

from headatlas import pictures
from headatlas.errors import HeadAtlasError
from headatlas.pictures import (
    MAX_SIDE,
    digest_of,
    encode,
    fault_of_image,
    fault_of_name,
    inside,
    judge,
    open_picture,
    read_image,
    size_of,
    stored_upright,
    suffix_of,
    turned,
    upright,
)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def flagged(pixels: np.ndarray, orientation: int, form: str) -> bytes:
    """An encoded picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "BigTIFF": {"big_tiff": True}}.get(form, {})
    return encoded(Image.fromarray(pixels), form.removeprefix("Big"), exif=exif, **options)


NOISE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


FORMS = ["JPEG", "PNG", "WEBP", "TIFF", "BigTIFF"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once(form, orientation):
    data = flagged(NOISE, orientation, form)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    with Image.open(io.BytesIO(data)) as image:  # as users hand it over: open, or converted with its EXIF block
        opened, converted = upright(image), upright(image.convert("RGB"))
    stored, found = stored_upright(data)
    assert found == orientation
    with Image.open(io.BytesIO(stored)) as image:
        assert image.getexif().get(0x0112, 1) == 1
    for image in (
        open_picture(data),
        opened,
        converted,
        upright(opened),
        open_picture(stored),
        open_picture(encode(opened)),
    ):
        assert np.array_equal(np.asarray(image), expected)
        assert image.mode == "RGB"
        assert not image.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_with_its_picture(orientation):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[5:15, 10:40] = 255
    shown = np.asarray(open_picture(flagged(pixels, orientation, "PNG")))[..., 0] > 128
    x0, y0, x1, y1 = turned((10 / 80, 5 / 40, 40 / 80, 15 / 40), orientation)
    height, width = shown.shape
    expected = np.zeros_like(shown)
    expected[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = True
    assert np.array_equal(shown, expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_size_is_that_of_the_upright_picture(tmp_path, form):
    for orientation in range(1, 9):
        (tmp_path / "a").write_bytes(flagged(NOISE, orientation, form))
        assert size_of(tmp_path / "a") == open_picture(tmp_path / "a").size
    with pytest.raises(HeadAtlasError, match="cannot read image"):
        size_of(tmp_path)


def test_a_broken_exif_block_turns_nothing():
    data = flagged(NOISE, 3, "JPEG").replace(b"Exif\0\0", b"Exif\0\0XX")
    assert open_picture(data).size == (6, 4)
    assert stored_upright(encoded(Image.new("RGB", (3, 2)), "JPEG"))[1] == 1


GREY = np.linspace(0, 255, 4096).astype(np.uint8).reshape(64, 64)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.fromarray(GREY.astype(">u2") * 257),
        Image.fromarray(GREY.astype(np.int32) * 257),
        Image.fromarray(GREY.astype(np.int32)),
        Image.fromarray(GREY.astype(np.float32)),
        Image.fromarray(GREY.astype(np.float32) / 255),
        Image.fromarray(GREY.astype(np.float32) * 257),
        Image.fromarray(GREY.astype(np.int32) * 1000),
        Image.fromarray(GREY.astype(np.int32) - 100),
        Image.fromarray(GREY).convert("LA"),
    ],
    ids=["I;16", "I;16B", "I 16", "I 8", "F 255", "F 1", "F 16", "I 32", "I negative", "LA"],
)
def test_grey_levels_are_scaled_and_never_clipped(image):
    assert np.array_equal(np.asarray(upright(image))[..., 0], GREY)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_files_keep_their_greys(form):
    data = encoded(Image.fromarray(GREY.astype(np.uint16) * 257), form)
    assert np.array_equal(np.asarray(open_picture(data))[..., 1], GREY)


def palette(transparent: int | None) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.putpixel((1, 0), 1)
    return encoded(image, "GIF") if transparent is None else encoded(image, "PNG", transparency=transparent)


def half_clear(mode: str) -> Image.Image:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (200, 30, 30, 255))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("source", "left", "right"),
    [
        (palette(None), (0, 0, 0), (200, 30, 30)),
        (palette(0), (255, 255, 255), (200, 30, 30)),
        (half_clear("RGBA"), (255, 255, 255), (200, 30, 30)),
        (half_clear("RGBa"), (255, 255, 255), (200, 30, 30)),
        (encoded(half_clear("RGBA"), "WEBP", lossless=True), (255, 255, 255), (200, 30, 30)),
        (encoded(half_clear("RGB"), "PNG", transparency=(0, 0, 0)), (255, 255, 255), (200, 30, 30)),
        (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), (255, 0, 0), (255, 0, 0)),
        (encoded(Image.new("CMYK", (16, 8), (0, 255, 255, 0)), "JPEG"), (254, 0, 0), (254, 0, 0)),
        (Image.new("1", (2, 1), 1), (255, 255, 255), (255, 255, 255)),
        (Image.new("L", (2, 1), 77), (77, 77, 77), (77, 77, 77)),
    ],
    ids=["palette", "clear palette", "RGBA", "RGBa", "WebP", "clear RGB", "CMYK", "CMYK JPEG", "1", "L"],
)
def test_colours_are_those_that_people_see(source, left, right):
    image = open_picture(source)
    assert np.abs(np.subtract([image.getpixel((0, 0)), image.getpixel((1, 0))], [left, right])).max() <= 1


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP"):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
        red, _, blue = open_picture(data).getpixel((4, 4))
        assert red > 200 > 60 > blue


def test_pixels_that_mean_nothing_are_refused():
    with pytest.raises(HeadAtlasError, match="finite"):
        upright(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


def test_a_digest_is_of_what_is_seen_now():
    image = Image.fromarray(NOISE)
    before = digest_of(image)
    assert digest_of(open_picture(encoded(image))) == before
    assert judge(encoded(image, "WEBP", lossless=True)) == (None, before)
    image.putpixel((0, 0), (1, 2, 3))
    assert digest_of(image) != before


def test_links_folders_pipes_and_devices_are_refused(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(encoded(Image.new("RGB", (2, 2))))
    assert open_picture(picture).size == (2, 2)
    (tmp_path / "link.png").symlink_to(picture)
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "link.png", tmp_path, tmp_path / "pipe.png", "/dev/zero", tmp_path / "none.png", "a\0b"):
        done: list[str] = []

        def attempt(path=path, done=done):
            with pytest.raises(HeadAtlasError, match="cannot read image"):
                open_picture(path)
            done.append("refused")

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(20)  # a pipe that nobody writes to would wait for ever
        assert done == ["refused"], path


def test_formats_that_run_other_programs_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(HeadAtlasError, match="not an image that can be read"):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("form", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("GIF", ".gif"), ("BMP", ".bmp")]
)
def test_usual_images_are_fine(form, suffix):
    data = encoded(Image.new("RGB", (5, 4)), form)
    assert fault_of_image(data) is None
    assert suffix_of(data) == suffix


def test_size_is_judged_before_pixels():
    assert fault_of_image(encoded(Image.new("1", (MAX_SIDE + 1, 1)))) == (
        f"{MAX_SIDE + 1} x 1 pixels; it must have at most {MAX_SIDE} a side and 50,000,000 in all"
    )


def test_a_truncated_image_and_no_image():
    data = encoded(Image.effect_noise((90, 90), 80), "JPEG")
    assert "broken image" in fault_of_image(data[: len(data) // 2])
    assert "not an image" in fault_of_image(b"%!PS-Adobe-3.0 EPSF-3.0")


@pytest.mark.parametrize("name", ["a.png", "x/y/a.png", "./a.png", "...png", "a..b/c.png"])
def test_names_that_may_be_followed(name):
    assert fault_of_name(name) is None


@pytest.mark.parametrize(
    "name", ["", "/a.png", "../a.png", "x/../../a.png", "~/a.png", "C:/a.png", "..\\a.png", "a\0.png"]
)
def test_names_that_may_not(name, tmp_path):
    assert fault_of_name(name)
    assert inside(tmp_path, name) is None


def test_a_link_is_followed_only_inside(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret.png").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    (tmp_path / "in" / "good.png").symlink_to(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "bad.png").symlink_to(tmp_path / "out" / "secret.png")
    assert inside(tmp_path / "in", "good.png") == (tmp_path / "in" / "a.png").resolve()
    assert inside(tmp_path / "in", "bad.png") is None
    assert inside(tmp_path / "in", "x" * 5000) is None


def test_of_a_file_that_is_too_large_only_so_much_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 100)
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(10 * 2**30)  # takes no room on the disk
    data = read_image(tmp_path / "a.png")
    assert len(data) == 101
    assert fault_of_image(data) == "more than 100 bytes"


@pytest.mark.parametrize("empty", [np.zeros((0, 4, 3), np.uint8), Image.new("RGB", (0, 5)), Image.new("L", (3, 0))])
def test_a_picture_without_pixels_is_refused(empty):
    with pytest.raises(HeadAtlasError, match="image must "):
        open_picture(empty)
