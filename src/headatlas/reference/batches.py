"""Draw the training batches.

The rows of a batch depend only on seed, stage and step, so that a resumed run equals an uninterrupted one. A batch has rows of
similar length, padded to one of a few lengths, for each of which the model is compiled once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.reference.pool import Pool
from headatlas.reference.tokens import BLIND, Encoder, Row

LENGTHS = {
    "direct": (64,),
    "caption": (128,),
    "things": (160,),
    "listing": (112,),
    "quiz": (128, 160, 208),
    "own": (160, 192, 224),
    "more": (160, 192, 224),
    "blind": (128, 192),
    "blind_more": (128, 192),
    "marked": (160, 192, 224),
    "added": (208, 240, 272),
    "plain": (64, 128),
}
"""Padded lengths of each kind of batch, in tokens of LLaVA's short chat form; families with a longer form stretch them
(`padded_lengths`). `things` and `listing` are made of captions; `blind` and `blind_more` are `own` and `more` without image;
`marked` is `own` with marks on the picture (`pool.MARKS`), `added` is `own` with the marked picture as a second one;
`plain` is text without picture, of families with a pretrained language model."""

_SOURCE = {
    "blind": "own", "blind_more": "more", "things": "caption", "listing": "caption", "marked": "own", "added": "own"
}  # fmt: skip
_BLIND = ("blind", "blind_more")
_NO_PICTURE = (*_BLIND, "plain")

SPATIAL_MARKS = tuple(1 + FUNCTIONS.index(name) for name in SPATIAL)
SPATIAL_WEIGHT = 2.0
END_WEIGHT = 0.3
"""Weight of the end-of-turn token, which follows every answer and is learned early."""


@dataclass(frozen=True)
class TextBatch:
    """Rows padded on the right. `weights` is 0 where nothing is learned; `scenes` are indices of the pool's pictures."""

    ids: Int64[Tensor, "B T"]
    weights: Float[Tensor, "B T"]
    scenes: Int64[np.ndarray, " B"]
    kind: str
    blind: bool

    def pixels(self, pool: Pool, rows: slice = slice(None)) -> UInt8[np.ndarray, "B *images 3 S S"] | None:
        """The pictures of some rows: one per row, [B, 3, S, S], for `added` two, [B, 2, 3, S, S]; None for blind batches."""
        scenes = self.scenes[rows]
        if self.blind:
            return None
        if self.kind == "added":
            return np.stack([pool.images(scenes), pool.marked_images(scenes)], 1)
        return pool.marked_images(scenes) if self.kind == "marked" else pool.images(scenes)


def padded_lengths(sizes: tuple[int, ...], longest: int) -> tuple[int, ...]:
    """Return `sizes`, stretched in proportion to multiples of 16 if the longest row would not fit."""
    if longest <= sizes[-1]:
        return sizes
    top = -(-longest // 16) * 16
    return tuple(-(-size * top // (16 * sizes[-1])) * 16 for size in sizes)


class Sampler:
    """Draws batches of about `tokens` tokens each."""

    def __init__(self, pool: Pool, encoder: Encoder, pad: int, tokens: int, seed: int):
        self._pool, self._encoder, self._pad, self._tokens, self._seed = pool, encoder, pad, tokens, seed
        self._buckets: dict[str, dict[int, np.ndarray]] = {}
        for kind, sizes in LENGTHS.items():
            if _SOURCE.get(kind, kind) not in pool.ids:
                self._buckets[kind] = {}
                continue
            lengths = pool.lengths(_SOURCE.get(kind, kind))
            if _SOURCE.get(kind) == "caption":
                captions = [pool.row("caption", i) for i in range(len(lengths))]
                rows = (getattr(encoder, kind)(row, np.arange(encoder.n_things(row))) for row in captions)
                lengths = np.array([len(row.ids) for row in rows])
            if kind in _BLIND:
                lengths = lengths - encoder.picture_tokens
            if kind == "added":
                lengths = lengths + encoder.picture_tokens
            self._buckets[kind] = {}
            below = 0
            for size in padded_lengths(sizes, int(lengths.max())):
                fitting = np.flatnonzero((lengths > below) & (lengths <= size))
                if len(fitting):
                    self._buckets[kind][size] = fitting
                below = size

    def generator(self, stage: str, step: int) -> np.random.Generator:
        """Return the random generator of one step of one stage."""
        return np.random.default_rng([self._seed, *stage.encode(), step])

    def patches(self, step: int, n: int) -> Int64[np.ndarray, " B"]:
        """Return the numbers of the scenes of a step of stage 1."""
        return self.generator("vision", step).integers(0, len(self._pool), n)

    def text(self, stage: str, step: int, shares: dict[str, float]) -> TextBatch:
        """Return the batch of a step; `shares` are the relative probabilities of the kinds of batches."""
        rng = self.generator(stage, step)
        kinds = [kind for kind in shares if self._buckets[kind]]
        chance = np.array([shares[kind] for kind in kinds])
        kind = kinds[rng.choice(len(kinds), p=chance / chance.sum())]
        buckets = self._buckets[kind]
        sizes = list(buckets)
        # A bucket of n rows from which B are drawn at a time is chosen in proportion to n / B: every row is equally likely.
        chance = np.array([len(buckets[size]) * size for size in sizes], float)
        size = sizes[rng.choice(len(sizes), p=chance / chance.sum())]
        chosen = buckets[size][rng.integers(0, len(buckets[size]), max(1, self._tokens // size))]
        source, blind = _SOURCE.get(kind, kind), kind in _BLIND
        rows = [self._pool.row(source, int(i)) for i in chosen]
        if kind in ("things", "listing"):
            rewrite = getattr(self._encoder, kind)
            rows = [rewrite(row, rng.permutation(self._encoder.n_things(row))) for row in rows]
        if blind:
            rows = [self._encoder.without_image(row) for row in rows]
        if kind == "added":
            rows = [self._encoder.with_second_image(row) for row in rows]
        ids, weights = self.collate(rows, size, blind)
        scenes = self._pool.scene[source][chosen].astype(np.int64)
        return TextBatch(ids, weights, scenes, kind, kind in _NO_PICTURE)

    def collate(
        self, rows: list[Row], size: int, blind: bool = False
    ) -> tuple[Int64[Tensor, "B T"], Float[Tensor, "B T"]]:
        """Return token ids and weights of rows, padded to `size`; `blind`: only steps that need no image have weight."""
        ids = np.full((len(rows), size), self._pad, np.int64)
        marks = np.zeros((len(rows), size), np.uint8)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
            marks[i, : len(row.ids)] = row.marks
        weights = (marks >= BLIND if blind else marks > 0).astype(np.float32)
        weights[np.isin(marks % BLIND, SPATIAL_MARKS)] *= SPATIAL_WEIGHT
        weights[ids == self._encoder.end] *= END_WEIGHT
        return torch.from_numpy(ids), torch.from_numpy(weights)
