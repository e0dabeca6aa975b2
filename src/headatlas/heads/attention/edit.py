"""Edits of attention as values: a bias, a factor or a block on the logits of some keys, at chosen heads."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Heads, HeadSet
from headatlas.printing import brief

Kind = Literal["add", "scale", "block"]


@dataclass(frozen=True, eq=False)
class AttentionEdit:
    """A change of the logits of `keys` at `heads`. The softmax follows, so each row still sums to 1.

    Attributes:
        heads: where.
        kind: `add` amount to the logits of `keys` (and `others` to the logits of the other image tokens), `scale` them by
            amount, or `block` them (-infinity).
        keys: `"image"` (all image tokens; in cross-attention all keys), a bool mask `[T]` or `[B, T]` over the sequence, or
            positions in it. `vlm.edit` also takes a `Box` of the picture, and counts positions from a conversation's first token.
        amount, others: in logits for `add`, a factor for `scale`.
        queries: `"text"`: only queries that are not image tokens (image -> question knockout); None: all in scope.
    """

    heads: HeadSet
    kind: Kind
    keys: Any
    amount: float = 0.0
    others: float = 0.0
    name: str = "attend"
    queries: Literal["text"] | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.queries not in (None, "text"):
            raise HeadAtlasError(f"{self.name}: queries must be 'text' or None, got {self.queries!r}; see also scope=")
        if not (math.isfinite(self.amount) and math.isfinite(self.others)):
            raise HeadAtlasError(f"{self.name}: amounts must be finite, got {self.amount} and {self.others}")
        if isinstance(self.keys, Tensor) and (self.keys.dtype != torch.bool or self.keys.dim() not in (1, 2)):
            raise HeadAtlasError(
                f"{self.name}: keys must be a bool mask [T] or [B, T], got {self.keys.dtype} {tuple(self.keys.shape)}"
            )
        if isinstance(self.keys, str) and self.keys != "image":
            raise HeadAtlasError(f"{self.name}: keys by name must be 'image', got {self.keys!r}")

    @property
    def rows(self) -> int | None:
        """The number of batch rows for which `keys` are given; None if they are the same for every row."""
        return self.keys.shape[0] if isinstance(self.keys, Tensor) and self.keys.dim() == 2 else None

    def at_row(self, row: int) -> AttentionEdit:
        """This edit for one row of the batch alone."""
        return self if self.rows is None else replace(self, keys=self.keys[row])

    @property
    def no_op(self) -> bool:
        """Whether it changes nothing, whatever the keys."""
        if self.kind == "add":
            return self.amount == 0 and self.others == 0
        return self.kind == "scale" and self.amount == 1

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes with anything that changes the edit's effect."""
        digest = hashlib.sha256(
            f"attention|{self.heads.sorted()}|{self.kind}|{self.amount!r}|{self.others!r}|{self.queries}".encode()
        )
        if isinstance(self.keys, Tensor):
            digest.update(str(tuple(self.keys.shape)).encode() + self.keys.cpu().numpy().tobytes())
        else:
            digest.update(repr(self.keys).encode())
        return digest.hexdigest()


Queries = Literal["text"] | None


def attend(heads: Heads, to: Any, beta: float, others: float = 0.0, *, queries: Queries = None) -> AttentionEdit:
    """Add `beta` to the attention logits of the keys `to`: their odds against any other key rise by exp(beta).

    `others` is added to the logits of the image tokens that are not in `to` (gaze steering: `others = -beta`).
    """
    return AttentionEdit(_head_set(heads), "add", _keys(to), float(beta), float(others), "attend", queries)


def scale_attention(heads: Heads, keys: Any, weight: float, *, queries: Queries = None) -> AttentionEdit:
    """Multiply the attention logits of `keys` by `weight` (AdaptVis, arXiv 2503.01773: image logits; above 1 sharpens, below 1
    smooths)."""
    return AttentionEdit(_head_set(heads), "scale", _keys(keys), float(weight), 0.0, "scale_attention", queries)


def block(heads: Heads, keys: Any, *, queries: Queries = None) -> AttentionEdit:
    """Hide `keys` from the heads (attention knockout). A query without any remaining key gets z = 0.

    With keys `"image"` and queries `"text"` at all heads of some layers, no information flows there from the picture to the
    words.
    """
    return AttentionEdit(_head_set(heads), "block", _keys(keys), 0.0, 0.0, "block", queries)


def split_edits(edits: Sequence[Any]) -> tuple[list[Any], list[list[AttentionEdit]] | None]:
    """The edits of z in the form they were given, and the edits of attention as one list for each row, or one list for all rows;
    None if there are no edits of attention."""
    if edits and all(isinstance(item, Sequence) for item in edits):
        plain = [[edit for edit in row if not isinstance(edit, AttentionEdit)] for row in edits]
        attention = [[edit for edit in row if isinstance(edit, AttentionEdit)] for row in edits]
        return plain, attention if any(attention) else None
    common = [edit for edit in edits if isinstance(edit, AttentionEdit)]
    return [edit for edit in edits if not isinstance(edit, AttentionEdit)], [common] if common else None


def _head_set(heads: Heads) -> HeadSet:
    return heads if isinstance(heads, HeadSet) else HeadSet(heads)


def _keys(keys: Any) -> Any:
    """Masks as tensors, positions as a tuple, everything else as given."""
    if hasattr(keys, "__array__") and not isinstance(keys, Tensor):
        keys = torch.as_tensor(keys)
    if isinstance(keys, Tensor):
        return keys if keys.dtype == torch.bool else tuple(keys.tolist())
    if isinstance(keys, (list, tuple, range)) and all(isinstance(k, int) for k in keys):
        return tuple(keys)
    return keys
