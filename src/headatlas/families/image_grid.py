"""Which region of the picture each image token shows. Each way of cutting a picture into patches has one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from headatlas.errors import HeadAtlasError

View = tuple[float, float, float, float]
WHOLE: View = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Part:
    """A grid of `rows x columns` image tokens over the region `view` of the picture.

    `tile` is the number of the tile, from 0, or -1 for the picture as a whole (a thumbnail). `separators`: every row ends in
    one more image token, which shows no patch. `end`: the whole part ends in one; `start`: it begins with one, such as a class
    token. Tokens outside the picture (0..1) show no patch either.
    """

    rows: int
    columns: int
    view: View = WHOLE
    tile: int = -1
    separators: bool = False
    end: bool = False
    start: bool = False


ImageGrid = Callable[[Any, Any, tuple[int, int], int], Sequence[Part]]
"""`image_grid(processor, config, (width, height), n)`: the parts of one picture that has `n` image tokens."""


@dataclass(frozen=True, eq=False)
class ImageTokens:
    """The n image tokens of one conversation, in the order of the text.

    Attributes:
        boxes: the region that each token shows, `[n, 4]` XYXY, 0..1, of the upright picture; NaN for separators and padding.
        image: which picture, `[n]`.
        tile: which tile of it, `[n]`; -1 for the picture as a whole.
        row, column: place within the tile, `[n]`; -1 for separators.
    """

    boxes: Float[np.ndarray, "n 4"]
    image: Int[np.ndarray, " n"]
    tile: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.image)

    def touching(
        self, boxes: Float[np.ndarray, "*m 4"] | Sequence[float], image: int = 0, least: float = 0.1
    ) -> Bool[np.ndarray, "*m n"]:
        """The tokens on a box, or on each of many: those whose overlap with it is at least `least` times the smaller area."""
        made = np.asarray(boxes, float)
        area = np.nan_to_num((self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1]))
        sizes = (made[..., 2] - made[..., 0]) * (made[..., 3] - made[..., 1])
        overlap = self.share_in(made, image) * area
        return (overlap > 0) & (overlap >= least * np.minimum(area, sizes[..., None]))

    def share_in(self, boxes: Float[np.ndarray, "*m 4"] | Sequence[float], image: int = 0) -> Float[np.ndarray, "*m n"]:
        """The share (0..1) of each token's area in a box (XYXY, 0..1) of a picture, or in each of many; 0 for separators."""
        x0, y0, x1, y1 = np.moveaxis(np.asarray(boxes, float)[..., None], -2, 0)  # each [*m, 1]
        left, top, right, bottom = self.boxes.T
        width = np.clip(np.minimum(right, x1) - np.maximum(left, x0), 0, None)
        height = np.clip(np.minimum(bottom, y1) - np.maximum(top, y0), 0, None)
        area = (right - left) * (bottom - top)
        share = np.divide(width * height, area, out=np.zeros_like(width), where=area > 0)
        return np.where(self.image == image, np.nan_to_num(share), 0.0)


def image_tokens(grid: ImageGrid, processor: Any, config: Any, sizes: Sequence[tuple[int, int]], n: int) -> ImageTokens:
    """The image tokens of a conversation that shows pictures of `sizes` (width, height) and has `n` image tokens in all.

    Raises `HeadAtlasError` if the family's grid does not give `n` tokens.
    """
    columns: list[list[Any]] = [[], [], [], [], []]
    for image, size in enumerate(sizes):
        for part in grid(processor, config, size, n // max(1, len(sizes))):
            _lay_out(part, image, columns)
    if len(columns[1]) != n:
        raise HeadAtlasError(
            f"image tokens of {type(processor).__name__} cannot be placed: pictures of {list(sizes)} must make "
            f"{len(columns[1])} tokens, got {n}"
        )
    boxes, *rest = columns
    return ImageTokens(np.array(boxes, float).reshape(-1, 4), *(np.array(values, int) for values in rest))


def _lay_out(part: Part, image: int, columns: list[list[Any]]) -> None:
    x0, y0, x1, y1 = part.view
    width, height = (x1 - x0) / part.columns, (y1 - y0) / part.rows
    blank = [math.nan] * 4
    if part.start:
        _put(columns, blank, image, part.tile, -1, -1)
    for row in range(part.rows):
        for column in range(part.columns):
            box = (x0 + column * width, y0 + row * height, x0 + (column + 1) * width, y0 + (row + 1) * height)
            clipped = [min(1.0, max(0.0, value)) for value in box]
            seen = clipped[2] - clipped[0] > 1e-9 and clipped[3] - clipped[1] > 1e-9
            _put(columns, clipped if seen else blank, image, part.tile, row, column)
        if part.separators:
            _put(columns, blank, image, part.tile, row, -1)
    if part.end:
        _put(columns, blank, image, part.tile, -1, -1)


def _put(columns: list[list[Any]], *values: Any) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(value)


def _processed(processor: Any, size: tuple[int, int], **options: Any) -> Any:
    """The output of the image processor for a blank picture of this size."""
    return processor.image_processor(images=[Image.new("RGB", size)], **options)


def one_square(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """One square of tokens over the picture stretched to a square, or over its centre (CLIP scales the short side and crops)."""
    side = math.isqrt(n)
    if side * side != n:
        raise HeadAtlasError(f"a picture must make a square number of tokens, got {n}")
    return [Part(side, side, centre_view(processor.image_processor, size))]


def centre_view(images: Any, size: tuple[int, int]) -> View:
    """The region of a picture `(width, height)` that remains if the short side is scaled and the centre cropped."""
    width, height = size
    target, crop = images.size, getattr(images, "crop_size", None)
    short = target.get("shortest_edge") if hasattr(target, "get") else getattr(target, "shortest_edge", None)
    if short:
        longer = int(short * max(size) / min(size))
        width, height = (short, longer) if width <= height else (longer, short)
    else:
        height, width = target["height"], target["width"]
    if not getattr(images, "do_center_crop", False) or not crop:
        return WHOLE
    left, top = (width - crop["width"]) // 2, (height - crop["height"]) // 2
    return (left / width, top / height, (left + crop["width"]) / width, (top + crop["height"]) / height)


def merged_patches(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """Qwen and GLM: the picture is resized to a grid that depends on its size, and neighbouring patches are merged."""
    encoded = _processed(processor, size, return_tensors="np")
    _, rows, columns = (int(value) for value in encoded["image_grid_thw"][0])
    merge = processor.image_processor.merge_size
    return [Part(rows // merge, columns // merge)]


def pixtral(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """Pixtral: the picture is resized to whole patches; rows are separated by tokens that are not image tokens."""
    patch = processor.patch_size * getattr(processor, "spatial_merge_size", 1)
    encoded = _processed(processor, size, patch_size={"height": patch, "width": patch}, return_tensors="np")
    height, width = (int(value) for value in encoded["image_sizes"][0])
    return [Part(height // patch, width // patch)]


def tiles_then_thumbnail(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """InternVL: tiles row by row, then, if there is more than one, the whole picture."""
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    images = processor.image_processor
    width, height = size
    tile = (images.size["height"], images.size["width"])
    columns, rows = get_optimal_tiled_canvas((height, width), tile, images.min_patches, images.max_patches)
    side = math.isqrt(processor.image_seq_length)
    thumbnail = [Part(side, side)]
    return thumbnail if rows * columns == 1 else [*_tiles(rows, columns, side), *thumbnail]


def _tiles(rows: int, columns: int, side: int, shown: tuple[float, float] = (1.0, 1.0)) -> list[Part]:
    """Tiles of a canvas, of whose width and height the picture fills the shares `shown`."""
    x, y = columns * shown[0], rows * shown[1]
    return [
        Part(side, side, (c / x, r / y, (c + 1) / x, (r + 1) / y), r * columns + c)
        for r in range(rows)
        for c in range(columns)
    ]


def split_then_whole(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """Idefics3 and SmolVLM: tiles row by row, where the picture is large enough, then the whole picture."""
    encoded = _processed(processor, size, return_row_col_info=True)
    rows, columns = int(encoded["rows"][0][0]), int(encoded["cols"][0][0])
    side = math.isqrt(processor.image_seq_len)
    return [*_tiles(rows, columns, side), Part(side, side)] if rows and columns else [Part(side, side)]


def whole_then_unpadded(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """LLaVA-NeXT and -OneVision: the picture stretched to a square, then, fitted into the best canvas of tiles, its rectangle of
    tokens without the padding, each row closed by a separator."""
    from transformers.image_processing_utils import select_best_resolution

    images = processor.image_processor
    width, height = size
    patch = config.vision_config.patch_size
    tile = config.vision_config.image_size
    side = tile // patch
    canvas_height, canvas_width = select_best_resolution((height, width), images.image_grid_pinpoints)
    scale = min(canvas_width / width, canvas_height / height)
    new_width = min(math.ceil(width * scale), canvas_width)
    new_height = min(math.ceil(height * scale), canvas_height)
    left, top = (canvas_width - new_width) // 2, (canvas_height - new_height) // 2
    rows, columns = canvas_height // tile * side, canvas_width // tile * side
    cut_x, cut_y = _padding(width, height, columns, rows)
    shown_rows, shown_columns = rows - 2 * cut_y, columns - 2 * cut_x
    view = (
        (cut_x * patch - left) / new_width,
        (cut_y * patch - top) / new_height,
        ((columns - cut_x) * patch - left) / new_width,
        ((rows - cut_y) * patch - top) / new_height,
    )
    most = str(getattr(processor, "vision_aspect_ratio", "")).removeprefix("anyres_max_")
    if most.isdecimal():
        ratio = math.sqrt(shown_rows * shown_columns / (int(most) * side**2))
        if ratio > 1.1:
            shown_rows, shown_columns = int(shown_rows // ratio), int(shown_columns // ratio)
    return [Part(side, side), Part(shown_rows, shown_columns, view, 0, separators=True)]


def _padding(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """Columns and rows of padding on each side of a `columns x rows` canvas of tokens (transformers' `unpad_image`)."""
    if width / height > columns / rows:
        return 0, (rows - int(round(height * columns / width, 7))) // 2
    return (columns - int(round(width * rows / height, 7))) // 2, 0


def cross_tiles(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """Mllama, the keys of its cross-attention: the tiles of a padded canvas row by row, each begun by a class token, then those
    tiles that are not used."""
    from transformers.models.mllama.image_processing_mllama import get_all_supported_aspect_ratios

    made = _of_white(processor, size)
    most = made["pixel_values"].shape[2]
    rows, columns = get_all_supported_aspect_ratios(most)[int(made["aspect_ratio_ids"][0][0]) - 1]
    height, width = _extent(made["pixel_values"][0][0][: rows * columns], rows, columns)
    side = math.isqrt(n // most - 1)
    tiles = _tiles(rows, columns, side, (width, height))
    unused = Part(side, side, (2.0, 2.0, 3.0, 3.0), -2, start=True)
    return [*(replace(tile, start=True) for tile in tiles), *[unused] * (most - rows * columns)]


def canvas_then_whole(processor: Any, config: Any, size: tuple[int, int], n: int) -> list[Part]:
    """Llama 4: the tiles of a padded canvas row by row, if there are several, then the whole picture."""
    made = _of_white(processor, size)
    rows, columns = (int(value) for value in made["aspect_ratios"][0])
    side = math.isqrt(n // (rows * columns + (rows * columns > 1)))
    tiles = made["pixel_values"].reshape(-1, *made["pixel_values"].shape[-3:])[: rows * columns]
    height, width = _extent(tiles, rows, columns)
    if rows * columns == 1:
        return [Part(side, side, (0.0, 0.0, 1 / width, 1 / height))]
    return [*_tiles(rows, columns, side, (width, height)), Part(side, side)]


def _of_white(processor: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What the image processor makes of a white picture of this size: whatever is not white is padding."""
    made = processor.image_processor(images=[Image.new("RGB", size, "white")], return_tensors="pt")
    return {name: value.float().numpy() for name, value in made.items() if hasattr(value, "float")}


def _extent(tiles: Float[np.ndarray, "n c h w"], rows: int, columns: int) -> tuple[float, float]:
    """Height and width of the white picture as shares of a canvas of `rows x columns` tiles, whose upper left it fills."""
    canvas = tiles[:, 0].reshape(rows, columns, *tiles.shape[2:]).transpose(0, 2, 1, 3)
    canvas = canvas.reshape(rows * tiles.shape[2], columns * tiles.shape[3])
    shown = canvas > (canvas.max() + canvas.min()) / 2 if np.ptp(canvas) > 1e-3 else np.ones_like(canvas, bool)
    return float(shown.any(1).mean()), float(shown.any(0).mean())
