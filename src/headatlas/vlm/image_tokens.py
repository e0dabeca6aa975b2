"""The image tokens of a batch, and the region of the picture that each of them represents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.families import family_of
from headatlas.families.image_grid import ImageGrid, ImageTokens, Part, image_tokens, one_square
from headatlas.heads import AttentionEdit, Edit

if TYPE_CHECKING:
    from headatlas.vlm.batch import Batch
    from headatlas.vlm.loaded import LoadedModel

Corners = tuple[float, float, float, float]


def tokens_of(vlm: LoadedModel, batch: Batch, row: int) -> ImageTokens:
    """The regions that the image tokens of one row show, in the order of `batch.image_mask[row]`.

    Raises `HeadAtlasError` for a family whose entry has no `image_grid`, and where the picture is not in the text.
    """
    grid = check_placed(vlm)
    n = int(batch.image_mask[row].sum())
    return image_tokens(grid, vlm.processor, vlm.model.config, list(batch.image_sizes[row]), n)


def check_placed(vlm: LoadedModel) -> ImageGrid:
    """The family's grid of image tokens.

    Raises `HeadAtlasError` for a family whose entry has no `image_grid`, and where the picture is not in the text.
    """
    if not vlm.image_in_text:
        raise HeadAtlasError(f"image tokens of {vlm.family} have no place in the text: {vlm.picture_path}")
    grid = family_of(vlm.model.config.model_type).image_grid
    if grid is None:
        raise _no_grid(vlm)
    return grid


def _no_grid(vlm: LoadedModel) -> HeadAtlasError:
    """The error for a family without an `image_grid`."""
    return HeadAtlasError(
        f"image tokens of {vlm.family} cannot be placed in the picture: the entry of {vlm.model.config.model_type!r} in "
        "headatlas.families needs an image_grid"
    )


def cross_tokens_of(vlm: LoadedModel, batch: Batch, row: int, n: int) -> ImageTokens:
    """The regions of the picture that the n cross-attention keys of one row show.

    Raises `HeadAtlasError` for a family whose entry has no `image_grid`.
    """
    grid = family_of(vlm.model.config.model_type).image_grid
    if grid is None:
        raise _no_grid(vlm)
    return image_tokens(grid, vlm.processor, vlm.model.config, list(batch.image_sizes[row]), n)


def patches_of(vlm: LoadedModel, batch: Batch, n: int) -> ImageTokens:
    """The regions that the n patches of a vision tower show, which may follow a class token. The tower must see one picture as
    one square of patches.

    Raises `HeadAtlasError` for any other tower.
    """
    if family_of(vlm.model.config.model_type).image_grid is not one_square or len(batch.image_sizes[0]) != 1:
        unplaced(vlm)
    start = math.isqrt(n) ** 2 != n

    def square(processor: Any, config: Any, size: tuple[int, int], _: int) -> list[Part]:
        return [replace(part, start=start) for part in one_square(processor, config, size, n - start)]

    return image_tokens(square, vlm.processor, vlm.model.config, list(batch.image_sizes[0]), n)


def unplaced(vlm: LoadedModel) -> NoReturn:
    """Raise: the patches of the vision tower have no known place."""
    raise HeadAtlasError(
        f"patches of {vlm.family}'s vision tower cannot be placed in the picture: only towers that see a picture as one square "
        "are known"
    )


def corners_of(box: object) -> Corners:
    """A box as (x0, y0, x1, y1), 0..1: a `cogvsr.Box`, or four numbers.

    Raises `HeadAtlasError` for anything else.
    """
    names = ("x0", "y0", "x1", "y1")
    if all(hasattr(box, name) for name in names):
        values = [float(getattr(box, name)) for name in names]
    elif isinstance(box, list | tuple | np.ndarray) and len(box) == 4:
        values = [float(value) for value in box]
    else:
        raise HeadAtlasError(f"box must be a Box or four numbers x0, y0, x1, y1 from 0 to 1, got {box!r}")
    x0, y0, x1, y1 = values
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise HeadAtlasError(f"box must have 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, got {tuple(values)}")
    return x0, y0, x1, y1


def in_box(tokens: ImageTokens, box: Corners, least: float = 0.5) -> Bool[np.ndarray, " n"]:
    """Tokens with at least `least` of their area in a box of the first picture.

    In each tile that overlaps the box, the token with the largest share is always included, so that a small box is not empty.
    """
    share = tokens.share_in(box)
    chosen = share >= least
    for tile in np.unique(tokens.tile):
        of_tile = np.where(tokens.tile == tile, share, 0.0)
        if of_tile.max() > 0 and not (chosen & (tokens.tile == tile)).any():
            chosen |= (tokens.tile == tile) & (share == of_tile.max())
    return chosen


def key_mask(vlm: LoadedModel, batch: Batch, row: int, keys: object) -> Bool[Tensor, " T"]:
    """Sequence positions of one row that an attention edit's `keys` name: `"image"`, a box, or token positions counted from the
    conversation's first token."""
    length = batch.ids.shape[1]
    mask = torch.zeros(length, dtype=torch.bool)
    if isinstance(keys, str):
        return batch.image_mask[row].clone()
    if isinstance(keys, tuple) and all(isinstance(k, int) for k in keys) and not _is_box(keys):
        n = int(batch.mask[row].sum())
        if any(not 0 <= k < n for k in keys):
            raise HeadAtlasError(f"token positions must be 0 to {n - 1} of this conversation, got {keys}")
        mask[[batch.starts[row] + k for k in keys]] = True
        return mask
    chosen = in_box(tokens_of(vlm, batch, row), corners_of(keys))
    mask[batch.image_mask[row]] = torch.as_tensor(chosen)
    return mask


def placed_edits(vlm: LoadedModel, batch: Batch, edits: list[Any]) -> list[Any]:
    """Edits for one batch, with the keys of attention edits as masks over its sequence: `edits` is one list for all rows, or one
    list for each."""
    if edits and all(isinstance(item, list) for item in edits):
        return [[_placed(vlm, batch, [row], edit) for edit in each] for row, each in enumerate(edits)]
    return [_placed(vlm, batch, range(len(batch.starts)), edit) for edit in edits]


def _placed(vlm: LoadedModel, batch: Batch, rows: Sequence[int], edit: Edit | AttentionEdit) -> Edit | AttentionEdit:
    if not isinstance(edit, AttentionEdit) or isinstance(edit.keys, Tensor) or not needs_place(edit):
        return edit
    masks = [key_mask(vlm, batch, row, edit.keys) for row in rows]
    return replace(edit, keys=torch.stack(masks) if len(masks) > 1 else masks[0])


def needs_place(edit: Edit | AttentionEdit) -> bool:
    """Whether an edit's keys depend on the batch: everything but masks, and all keys of cross-attention and other towers."""
    return isinstance(edit, AttentionEdit) and edit.heads.towers() == ("L",) and not isinstance(edit.keys, Tensor)


def _is_box(keys: tuple[object, ...]) -> bool:
    return len(keys) == 4 and any(isinstance(k, float) for k in keys)
