"""Open pictures as people see them (upright, RGB, no clipped values), with protection against hostile files.

Every picture that enters HeadAtlas passes `open_picture` (a file, bytes or an image in memory) or `upright` (an image in
memory). The header of a file is checked first, so that a small file that would unpack into gigabytes is refused in
time. Names of pictures in data are checked by `fault_of_name` and resolved by `inside`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from headatlas.errors import HeadAtlasError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are opened; no format that runs another program (EPS, PDF) is among them."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_SIDE = 12_000
"""Largest width and height in pixels: more than any camera or benchmark gives."""
MAX_PIXELS = 50_000_000
"""Most pixels in all: 150 MB unpacked, in each of eight threads."""
MAX_BYTES = 64 * 2**20
"""Largest encoded picture in bytes."""

READABLE = "PNG, JPEG, WebP, GIF, BMP or TIFF"

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 0x0100, 0x0101
"""Tags of a TIFF."""
_MAY_BE_TURNED = re.compile(rb"exif|xmp|orientation|\AII[*+]\0|\AMM\0[*+]", re.IGNORECASE)
"""Matches something that every encoded picture with an orientation contains, so that others need not be opened."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How the pixels of each EXIF orientation are turned so that the picture stands upright."""

Source = Image.Image | np.ndarray | bytes | str | os.PathLike


def open_picture(source: Source) -> Image.Image:
    """Open a picture and return it in RGB, upright; of an animation the first frame.

    Args:
        source: the path of a file, the bytes of an encoded picture, an image in memory, or a uint8 array [height, width, 3]. A
            path must name a regular file: links, folders, pipes and devices are refused.

    Raises:
        HeadAtlasError: the picture cannot be read, is larger than `MAX_SIDE`, `MAX_PIXELS` or `MAX_BYTES` allow, or has
            none of the `FORMATS`, or the array has another shape or dtype.
    """
    if isinstance(source, Image.Image):
        return upright(source)
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:
            raise HeadAtlasError(
                f"image must be [height, width, 3] of uint8, got {list(source.shape)} of {source.dtype}"
            )
        return Image.fromarray(source)
    if not isinstance(source, (bytes, bytearray, str, os.PathLike)):
        raise HeadAtlasError(f"an image must be a PIL image, a path or encoded bytes, got {type(source).__name__}")
    name = f"of {len(source):,} bytes" if isinstance(source, (bytes, bytearray)) else repr(str(source)[:200])
    try:
        return _decode(bytes(source) if isinstance(source, (bytes, bytearray)) else read_image(Path(source)))
    except HeadAtlasError as error:
        raise HeadAtlasError(f"cannot read image {name}: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise HeadAtlasError(f"cannot read image {name}: {getattr(error, 'strerror', '') or error}") from error


def upright(image: Image.Image) -> Image.Image:
    """An image in memory as people see it: RGB, turned by its EXIF orientation, and without metadata.

    Transparent pixels are composed on white. Grey levels of 16 bits are scaled to 8 (divided by 257). Values of modes `I` and
    `F` are taken as 8-bit levels if the largest is at most 255 (as 0 to 1 if mode `F` and at most 1), as 16-bit levels if it is
    at most 65,535, and else are stretched from their smallest to their largest. An RGB image that needs none of this is
    returned as it is, not copied.

    Raises:
        HeadAtlasError: there are no pixels, they cannot be decoded, are not finite, or have a mode that cannot be shown (such
            as `LAB`).
    """
    if 0 in image.size:
        raise HeadAtlasError(f"image must have pixels, got {image.width} x {image.height}")
    try:
        image.load()
        turn = _TURNS.get(orientation(image))
        marked = image.info.keys() & {"exif", "xmp", "Raw profile type exif", "transparency"} or hasattr(
            image, "tag_v2"
        )
        if image.mode == "RGB" and turn is None and not marked:
            return image
        shown = _rgb(image)
    except HeadAtlasError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError and more
        raise HeadAtlasError(f"image of mode {image.mode} cannot be shown: {_line(error)}") from error
    shown = shown.copy() if shown is image else shown
    shown = shown.transpose(turn) if turn is not None else shown
    shown.info = {}
    shown._exif = None  # type: ignore[attr-defined]
    return shown


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as people see it, read from its header alone; errors as of `open_picture`."""
    try:
        with _header(read_image(path)) as image:
            width, height = image.size
            if image.format == "TIFF":  # whether `size` is turned already depends on the version of Pillow
                tags: Any = image.tag_v2  # type: ignore[attr-defined]
                width, height = tags.get(_WIDTH, width), tags.get(_HEIGHT, height)
            return (height, width) if orientation(image) >= 5 else (width, height)
    except (OSError, HeadAtlasError) as error:
        raise HeadAtlasError(f"cannot read image {str(path)[:200]!r}: {error}") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 (upright) where there is none or it is broken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about broken EXIF blocks
            found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels may be intact although the EXIF block is broken
        return 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(box: tuple[float, float, float, float], orientation: int) -> tuple[float, float, float, float]:
    """A box given in stored pixels, XYXY normalised to 0..1, in the upright picture of that EXIF orientation."""
    x0, y0, x1, y1 = box
    mirrored_x, mirrored_y = (1 - x1, 1 - x0), (1 - y1, 1 - y0)
    (left, right), (top, bottom) = {
        2: (mirrored_x, (y0, y1)),
        3: (mirrored_x, mirrored_y),
        4: ((x0, x1), mirrored_y),
        5: ((y0, y1), (x0, x1)),
        6: (mirrored_y, (x0, x1)),
        7: (mirrored_y, mirrored_x),
        8: ((y0, y1), mirrored_x),
    }.get(orientation, ((x0, x1), (y0, y1)))
    return left, top, right, bottom


def digest_of(image: Image.Image) -> str:
    """32 hex digits of what a model sees of an image: its size and RGB pixels, upright. Computed again at every call."""
    shown = upright(image)
    digest = hashlib.blake2b(repr(shown.size).encode(), digest_size=16)
    digest.update(shown.tobytes())
    return digest.hexdigest()


def encode(image: Image.Image) -> bytes:
    """Lossless PNG bytes of an image, upright and without metadata."""
    buffer = io.BytesIO()
    # Level 3 takes less than half the time of the default and 5 % more room.
    upright(image).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def stored_upright(data: bytes) -> tuple[bytes, int]:
    """An encoded picture as it is to be stored, and the EXIF orientation that it had.

    A picture that is upright is returned byte for byte; another is turned and encoded again, as PNG.

    Raises:
        HeadAtlasError: the picture cannot be read.
    """
    if not _MAY_BE_TURNED.search(data):
        return data, 1
    with _header(data) as image:
        if image.format == "PNG":  # its EXIF may follow the pixels
            try:
                image.load()
            except Exception as error:  # as in `upright`
                raise HeadAtlasError(f"broken image ({_line(error)})") from error
        found = orientation(image)
    return (encode(_decode(data)), found) if found != 1 else (data, 1)


def judge(data: bytes) -> tuple[str | None, str]:
    """Why these bytes are not a usable picture (or None), and its `digest_of` (or ""). Decodes the whole picture."""
    try:
        return None, digest_of(_decode(data))
    except HeadAtlasError as error:
        return str(error), ""


def fault_of_image(data: bytes) -> str | None:
    """Why these bytes are not a usable picture, or None. Decodes the whole picture, so that a truncated file is noticed."""
    try:
        _decode(data)
    except HeadAtlasError as error:
        return str(error)
    return None


def read_image(path: Path) -> bytes:
    """The bytes of a picture's file, at most `MAX_BYTES` + 1.

    Raises:
        OSError: it does not exist, or is not a regular file but a link, folder, pipe or device.
    """
    if path.is_symlink():
        raise OSError(None, "it is a link; give the path of the file itself")
    # Without O_NONBLOCK, opening a pipe waits for somebody to write to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(None, "it is a folder, not a file" if stat.S_ISDIR(mode) else "it is no regular file")
        return file.read(MAX_BYTES + 1)


def suffix_of(data: bytes) -> str:
    """The usual file suffix of an encoded picture, by its first bytes; `.png` if it is none that is known."""
    starts = {
        b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif", b"BM": ".bmp",
        b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif", b"MM\0+": ".tif",
    }  # fmt: skip
    return next((suffix for start, suffix in starts.items() if data.startswith(start)), ".png")


def fault_of_name(name: str) -> str | None:
    """Why a picture's name in data must not be opened, or None; it must be relative and stay inside its folder."""
    if not name or "\0" in name:
        return "must be the name of an image file, got an empty text" if not name else "a null character in the name"
    plain = PurePosixPath(name.replace("\\", "/"))
    if plain.is_absolute() or (len(name) > 1 and name[1] == ":") or name.startswith("~"):
        return f"must be a path relative to the dataset, got the absolute {name[:80]!r}"
    if ".." in plain.parts:
        return f"{name[:80]!r} leads out of the dataset's folder"
    return None


def inside(root: Path, name: str) -> Path | None:
    """The regular file called `name` under `root`; None if it does not exist or, with links resolved, lies elsewhere."""
    if fault_of_name(name):
        return None
    base = root.resolve()
    try:
        path = (base / name.replace("\\", "/")).resolve()
        return path if path.is_relative_to(base) and path.is_file() else None
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # a name too long, with characters the disk does not know, a loop of links
        return None


def _header(data: bytes) -> Image.Image:
    """The picture in `data`, with its size checked and its pixels not yet decoded."""
    if len(data) > MAX_BYTES:
        raise HeadAtlasError(f"more than {MAX_BYTES:,} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of large pictures, which are judged by a lower limit, and of broken headers
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        message = f"not an image that can be read ({len(data):,} bytes); it must be {READABLE}"
        raise HeadAtlasError(message) from error
    except Image.DecompressionBombError as error:  # "Image size (... pixels) exceeds limit of ... pixels, could be ..."
        raise HeadAtlasError(str(error).split(",")[0]) from error
    except Exception as error:  # as in `upright`
        raise HeadAtlasError(f"broken image ({_line(error)})") from error
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise HeadAtlasError(
            f"{width} x {height} pixels; it must have at most {MAX_SIDE} a side and {MAX_PIXELS:,} in all"
        )
    return image


def _decode(data: bytes) -> Image.Image:
    with _header(data) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Pillow warns of is an error below, or can be read
                image.load()
        except Exception as error:  # as in `upright`
            raise HeadAtlasError(f"broken image ({_line(error)})") from error
        shown = upright(image)
        if shown is image:  # keep the pixels, not the file
            shown = image.copy()
            shown.info = {}
    return shown


def _rgb(image: Image.Image) -> Image.Image:
    """The pixels in RGB, on white, not yet turned."""
    clear = image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        levels = _levels(np.asarray(image), image.mode)
        if isinstance(clear, int):
            levels = np.where(np.asarray(image) == clear, 255, levels)
        return Image.fromarray(levels.astype(np.uint8), "L").convert("RGB")
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("LA", "PA", "RGBA") or clear is not None:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _levels(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey levels 0..255 of pixels that are not 8 bits wide; see `upright`."""
    values = values.astype(np.float64)
    if mode.startswith("I;16"):
        return np.rint(values / 257)
    if not np.isfinite(values).all():
        raise HeadAtlasError("image must have finite pixels, got NaN or infinity")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65_535:
        return np.rint((values - low) * (255 / (high - low))) if high > low else np.zeros_like(values)
    if high > 255:
        return np.rint(values / 257)
    return np.rint(values * 255) if mode == "F" and high <= 1 else np.rint(values)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
