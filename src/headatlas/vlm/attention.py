"""`AttentionMap`: where heads look in one conversation, as numbers, as maps over the picture, and as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw

from headatlas.errors import HeadAtlasError
from headatlas.families.image_grid import ImageTokens
from headatlas.heads import AttentionReader, AttentionRows, HeadSet, as_head
from headatlas.heads.address import TEXT_TOWERS, Heads
from headatlas.vlm.batch import Batch, encode
from headatlas.vlm.finite import require_finite
from headatlas.vlm.forward import logits_at
from headatlas.vlm.image_tokens import corners_of, cross_tokens_of, patches_of, tokens_of, unplaced

if TYPE_CHECKING:
    from headatlas.vlm.chat import Conversation
    from headatlas.vlm.editable import EditableModel


class AttentionMap:
    """Attention rows of one conversation. Made by `vlm.attention`.

    Attributes:
        heads: the H heads, in order.
        weights: `[H, Q, K]`, float32; a row sums to 1, or to 1 less a sink's share. K are the conversation's tokens.
        tokens: the K tokens as text; for heads of other towers than L, names of the picture's positions.
        queries: the Q query positions, of the text in towers L and X.
        image_positions: the positions of the image tokens.
        picture: the first picture, or None.
        image_tokens: where each image token looks; None where the family's `image_grid` is not known (`why_unplaced` says why).
    """

    def __init__(
        self,
        heads: HeadSet,
        weights: Float[np.ndarray, "H Q K"],
        tokens: Sequence[str],
        queries: Sequence[int],
        image_positions: Sequence[int],
        picture: Image.Image | None,
        image_tokens: ImageTokens | None,
        why_unplaced: str = "",
    ) -> None:
        self.heads, self.weights = heads, weights
        self.tokens, self.queries = tuple(tokens), tuple(queries)
        self.image_positions, self.picture = tuple(image_positions), picture
        self.image_tokens, self.why_unplaced = image_tokens, why_unplaced
        self._index = {head: i for i, head in enumerate(heads)}

    def __repr__(self) -> str:
        n_heads, n_queries, n_keys = self.weights.shape
        image = self.image_mass()
        top = self.heads[:0] if not n_heads else [list(self.heads)[i] for i in np.argsort(-image)[:3]]
        most = ", ".join(f"{head} {100 * image[self._index[head]]:.0f} %" for head in top)
        size = f"{n_heads} heads x {n_queries} queries x {n_keys} tokens ({len(self.image_positions)} of the image)"
        return f"AttentionMap({size}; most on the image: {most})"

    def only(self, head: Heads) -> AttentionMap:
        """The map of one head; its methods need no head name."""
        i = self._at(head)
        return AttentionMap(
            HeadSet([self.heads[i]]),
            self.weights[i : i + 1],
            self.tokens,
            self.queries,
            self.image_positions,
            self.picture,
            self.image_tokens,
            self.why_unplaced,
        )

    def row(self, head: Heads | None = None, query: int = -1) -> Float[np.ndarray, " K"]:
        """The attention of one head (of the only one by default) at one of the queries, by its index (the last by default)."""
        return self.weights[self._at(head), query]

    def image_mass(self, query: int = -1) -> Float[np.ndarray, " H"]:
        """The share of each head's attention that lies on image tokens, 0..1."""
        return self.weights[:, query, list(self.image_positions)].sum(-1)

    def box_mass(self, box: object, query: int = -1) -> Float[np.ndarray, " H"]:
        """The share of each head's attention, 0..1, that lies in a box of the first picture (a `Box`, or x0, y0, x1, y1 in 0..1).

        An image token counts by the share of its area that is in the box.
        """
        share = self._placed().share_in(corners_of(box))
        return self.weights[:, query, list(self.image_positions)] @ share.astype(np.float32)

    def patch_mass(self, boxes: Sequence[object], query: int = -1) -> Float[np.ndarray, " H"]:
        """The share of each head's attention on the patches of any of the boxes (`ImageTokens.touching`), as the scorer
        `attention` counts it."""
        placed = self._placed()
        patches = np.any([placed.touching(corners_of(box)) for box in boxes], axis=0)
        return self.weights[:, query, np.asarray(self.image_positions)[patches]].sum(-1)

    def on_image(self, query: int = -1, size: tuple[int, int] | None = None) -> Float[np.ndarray, "H h w"]:
        """Attention as a map over the first picture: its cells sum to the mass on tokens that have a place in it.

        Args:
            query: index of the query.
            size: height and width of the map; by default fine enough for the smallest tokens, at most 128.
        """
        tokens = self._placed()
        shown = (tokens.image == 0) & ~np.isnan(tokens.boxes[:, 0])
        boxes = tokens.boxes[shown]
        height, width = size or tuple(
            min(128, max(1, round(1 / float((boxes[:, hi] - boxes[:, lo]).min())))) for lo, hi in ((1, 3), (0, 2))
        )
        across = _overlap(boxes[:, 0], boxes[:, 2], width)  # [n, w], each token's area spread over the cells
        down = _overlap(boxes[:, 1], boxes[:, 3], height)
        mass = self.weights[:, query, list(self.image_positions)][:, shown]
        return np.einsum("hn,ny,nx->hyx", mass, down, across).astype(np.float32)

    def top_tokens(self, head: Heads | None = None, n: int = 5, query: int = -1) -> pd.DataFrame:
        """The `n` keys with the largest weights: position, token, weight, and the box if it is an image token."""
        row = self.row(head, query)
        best = np.argsort(-row, kind="stable")[:n]
        places = {position: i for i, position in enumerate(self.image_positions)}
        boxes = [
            None if self.image_tokens is None or k not in places else tuple(self.image_tokens.boxes[places[k]].round(3))
            for k in best
        ]
        return pd.DataFrame(
            {"position": best, "token": [self.tokens[k] for k in best], "weight": row[best], "box": boxes}
        )

    def overlay(self, head: Heads | None = None, query: int = -1, side: int = 336) -> Image.Image:
        """The picture, darkened where a head does not look; the largest weight is shown at full brightness."""
        if self.picture is None:
            raise HeadAtlasError("the conversation must show a picture to lay the map over, got none")
        one = self.on_image(query)[self._at(head)]
        scale = side / max(self.picture.size)
        size = max(1, round(self.picture.width * scale)), max(1, round(self.picture.height * scale))
        shown = np.asarray(self.picture.resize(size), np.float32)
        strength = Image.fromarray(one / max(float(one.max()), 1e-12)).resize(size, Image.Resampling.NEAREST)
        light = np.asarray(strength, np.float32)[..., None]
        glow = np.array([255.0, 170.0, 40.0])
        mixed = shown * (0.25 + 0.6 * light) + glow * 0.4 * light
        return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))

    def grid(self, query: int = -1, side: int = 96) -> Image.Image:
        """All heads as small overlays, one row for each layer, each with its name and its mass on the image."""
        layers = sorted({head.layer for head in self.heads})
        widest = max(head.head for head in self.heads) + 1
        mass = self.image_mass(query)
        first = self.overlay(next(iter(self.heads)), query, side)
        step_x, step_y = first.width + 4, first.height + 14
        sheet = Image.new("RGB", (widest * step_x, len(layers) * step_y), "white")
        pen = ImageDraw.Draw(sheet)
        for i, head in enumerate(self.heads):
            x, y = head.head * step_x, layers.index(head.layer) * step_y
            sheet.paste(self.overlay(head, query, side), (x, y + 12))
            pen.text((x, y), f"{head} {100 * mass[i]:.0f}%", fill="black")
        return sheet

    def _at(self, head: Heads | None) -> int:
        if head is None:
            if len(self.heads) != 1:
                raise HeadAtlasError(
                    f"head must be given for a map of {len(self.heads)} heads, such as {self.heads[0]}"
                )
            return 0
        asked = as_head(head)
        if asked not in self._index:
            raise HeadAtlasError(f"head must be one of those read ({self.heads[:4]}...), got {asked}")
        return self._index[asked]

    def _placed(self) -> ImageTokens:
        if self.image_tokens is None:
            raise HeadAtlasError(self.why_unplaced)
        return self.image_tokens


def _overlap(low: np.ndarray, high: np.ndarray, cells: int) -> np.ndarray:
    """How each span `low..high` (0..1) is shared among equal cells: `[n, cells]`, rows summing to 1."""
    edges = np.linspace(0, 1, cells + 1)
    inside = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    return np.clip(inside, 0, None) / (high - low)[:, None]


@torch.inference_mode()
def attention_map(
    vlm: EditableModel,
    chat: Conversation,
    heads: Heads | None = None,
    queries: str | Sequence[int] = "predict",
) -> AttentionMap:
    """The attention of one conversation, see `VLM.attention`."""
    chosen = vlm.heads.heads("L") if heads is None else HeadSet(heads)
    batch = encode(vlm, [chat], generation_prompt=chat.open)
    picture = (
        chat.images[0].copy() if chat.images else None
    )  # later changes of the caller's picture must not change the map
    if chosen.towers() and chosen.towers()[0] not in TEXT_TOWERS:
        if queries != "predict":
            raise HeadAtlasError(f"heads of tower {chosen.towers()[0]} are read at all positions; leave queries out")
        return _of_pictures(vlm, batch, chosen, picture)
    real = batch.mask[0]
    start = batch.starts[0]
    where = _query_mask(batch, queries)
    length = int(real.sum())
    cross = chosen.towers() == ("X",)
    keys = slice(None) if cross else slice(start, start + length)
    weights = _joined(chosen, [
        (rows.site.layer, rows.heads, rows.weights[0][..., keys]) for rows in _read(vlm, batch, chosen, where)
    ])  # fmt: skip
    asked = (where.nonzero()[:, 0] - start).tolist()
    if cross:
        n = weights.shape[2]
        placed, why = _or_why(lambda: cross_tokens_of(vlm, batch, 0, n))
        return AttentionMap(chosen, weights, _numbered("key", n), asked, range(n), picture, placed, why)
    ids = batch.ids[0, start : start + length].tolist()
    tokens = [vlm.tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in ids]
    positions = (batch.image_mask[0, start : start + length]).nonzero()[:, 0].tolist()
    placed, why = _or_why(lambda: tokens_of(vlm, batch, 0))
    return AttentionMap(chosen, weights, tokens, asked, positions, picture, placed, why)


def _of_pictures(vlm: EditableModel, batch: Batch, chosen: HeadSet, picture: Image.Image | None) -> AttentionMap:
    """Attention of a tower whose rows are pictures, tiles or windows: K = Q positions. Positions
    of different rows have weight 0 for each other."""
    layers: dict[int, tuple[tuple[int, ...], list[torch.Tensor]]] = {}
    for rows in _read(vlm, batch, chosen, None):
        layers.setdefault(rows.site.layer, (rows.heads, []))[1].extend(rows.weights)
    for blocks in (each for _, each in layers.values()):
        n = sum(block.shape[1] for block in blocks)
        if any(block.shape[1] != block.shape[2] for block in blocks):
            raise HeadAtlasError(
                f"{chosen[0]} attends from one sequence to another; read it with headatlas.heads.AttentionReader"
            )
        if n > LARGEST:
            raise HeadAtlasError(
                f"attention of {chosen[0]} must have at most {LARGEST} x {LARGEST} weights per head, got {n} x {n}; "
                "show a smaller picture, or use headatlas.heads.AttentionReader"
            )
    sizes = {sum(block.shape[1] for block in blocks) for _, blocks in layers.values()}
    if len(sizes) != 1:
        raise HeadAtlasError(
            f"layers of {chosen} must have the same number of positions, got {sorted(sizes)}; ask for heads of layers of one size"
        )
    apart = [
        (layer, heads, torch.stack([torch.block_diag(*(block[i] for block in blocks)) for i in range(len(heads))]))
        for layer, (heads, blocks) in layers.items()
    ]
    weights = _joined(chosen, apart)
    n = weights.shape[2]
    blocks = next(iter(layers.values()))[1]
    placed, why = _or_why(lambda: patches_of(vlm, batch, n) if len(blocks) == 1 else unplaced(vlm))
    return AttentionMap(chosen, weights, _numbered("patch", n), range(n), range(n), picture, placed, why)


LARGEST = 4096
"""The most positions of a vision tower for which an attention map is made."""


def _read(vlm: EditableModel, batch: Batch, chosen: HeadSet, where: torch.Tensor | None) -> list[AttentionRows]:
    seen: list[AttentionRows] = []
    queries = None if where is None else where[None].to(vlm.device)
    reader = AttentionReader(vlm.model, vlm.heads, chosen, queries, seen.append)
    require_finite(vlm, logits_at(vlm, batch, batch.predict_mask(), [0], reader), batch, [0])
    if not seen:
        raise HeadAtlasError(f"{chosen[0]} was not called; give a picture")
    return seen


def _joined(chosen: HeadSet, read: list[tuple[int, tuple[int, ...], torch.Tensor]]) -> Float[np.ndarray, "H Q K"]:
    by_layer = {layer: (heads, rows.float().cpu().numpy()) for layer, heads, rows in read}
    out = []
    for head in chosen:
        heads, rows = by_layer[head.layer]
        out.append(rows[heads.index(head.head)])
    return np.stack(out)


def _or_why(place: Callable[[], ImageTokens]) -> tuple[ImageTokens | None, str]:
    try:
        return place(), ""
    except HeadAtlasError as error:
        return None, str(error)


def _numbered(what: str, n: int) -> list[str]:
    return [f"<{what} {i}>" for i in range(n)]


def _query_mask(batch: Any, queries: str | Sequence[int]) -> torch.Tensor:
    if isinstance(queries, str):
        masks = {"predict": batch.predict_mask, "all": lambda: batch.mask}
        if queries not in masks:
            raise HeadAtlasError(f"queries must be 'predict', 'all' or token positions, got {queries!r}")
        return masks[queries]()[0]
    real = int(batch.mask[0].sum())
    if not queries or any(not -real <= q < real for q in queries):
        raise HeadAtlasError(f"query positions must be {-real} to {real - 1}, got {list(queries)}")
    mask = torch.zeros(batch.ids.shape[1], dtype=torch.bool)
    mask[[batch.starts[0] + (q % real) for q in queries]] = True
    return mask
