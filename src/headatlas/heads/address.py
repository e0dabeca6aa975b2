"""How heads are called: `Head` (one head) and `HeadSet` (some of them, in an order).

Knows the written form (`L12.H5`, `V3.H2`, `X2.H1`, `E0.H3`, `C1.H0`) and set algebra. Does not know any model: whether
an address exists in one is `HeadGrid`'s business.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.errors import HeadAtlasError

Tower = Literal["L", "V", "X", "E", "C"]
TOWERS: tuple[Tower, ...] = get_args(Tower)
"""`L` language model (of an encoder-decoder: the decoder's self-attention, also where one attention looks at both itself and the
encoder), `V` vision tower, `X` cross-attention layers of
the language model, `E` the text encoder of an encoder-decoder, `C` the connector between vision and language (a Q-former or
resampler; its self- and cross-attention layers are counted together, in forward order)."""

BATCH_TOWERS: tuple[Tower, ...] = ("L", "X", "E")
"""Towers whose rows are the batch's rows; elsewhere a row is an image, a tile or a window."""
TEXT_TOWERS: tuple[Tower, ...] = ("L", "X")
"""Towers whose tokens are the text positions that a scope counts."""

_WRITTEN = re.compile(rf"([{''.join(TOWERS)}])(\d+)\.H(\d+)")


@dataclass(frozen=True)
class Head:
    """One attention head: `layer` and `head` count from 0 within the `tower`; layers in forward order, except in the few vision
    towers with two encoders (see `find_heads`).

    Layers are numbered over the *addressable* attention layers of the tower, so that a tower is always a dense
    `[L, H]` grid; `Site.name` gives the module's own path where a model also has other layers in between.
    """

    layer: int
    head: int
    tower: Tower = "L"

    def __post_init__(self) -> None:
        if self.tower not in TOWERS or self.layer < 0 or self.head < 0:
            raise HeadAtlasError(
                f"a head is (layer >= 0, head >= 0, tower in {TOWERS}), got ({self.layer}, {self.head}, {self.tower!r})"
            )

    def __str__(self) -> str:
        return f"{self.tower}{self.layer}.H{self.head}"

    def __lt__(self, other: "Head") -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, int]:
        return TOWERS.index(self.tower), self.layer, self.head

    @classmethod
    def parse(cls, text: str) -> "Head":
        """The head that `text` names, e.g. `"L12.H5"`. Raises `HeadAtlasError` for anything else."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise HeadAtlasError(f"expected a head like 'L12.H5', 'V3.H2' or 'X2.H1', got {text!r}")
        tower, layer, head = match.groups()
        return cls(int(layer), int(head), tower)  # pyright: ignore[reportArgumentType]


class HeadSet(Set[Head]):
    """An immutable set of heads (or written heads, `"L12.H5"`) that keeps the order it was given, as a ranking needs.

    Two sets are equal when they hold the same heads, whatever their order and reason. An empty set is a legal result;
    `reason` then says why nothing was selected.
    """

    __slots__ = ("_heads", "reason")

    def __init__(self, heads: Iterable[Head | str] = (), reason: str = "") -> None:
        self._heads: dict[Head, None] = dict.fromkeys(Head.parse(h) if isinstance(h, str) else h for h in heads)
        self.reason = reason

    def __iter__(self) -> Iterator[Head]:
        return iter(self._heads)

    def __len__(self) -> int:
        return len(self._heads)

    def __contains__(self, head: object) -> bool:
        return head in self._heads

    def __getitem__(self, index: slice) -> "HeadSet":
        """A slice in order: `heads[:5]` are the first five."""
        return HeadSet(list(self._heads)[index], self.reason)

    def __and__(self, other: Iterable[Any]) -> "HeadSet":
        wanted = set(other)
        return HeadSet(head for head in self if head in wanted)

    def __hash__(self) -> int:
        return self._hash()

    def __str__(self) -> str:
        return " ".join(map(str, self))

    def __repr__(self) -> str:
        return f"HeadSet({str(self)!r}{f', reason={self.reason!r}' if self.reason else ''})"

    def layers(self) -> dict[int, int]:
        """Number of heads per layer, `{layer: count}`, layers ascending."""
        return dict(sorted(Counter(head.layer for head in self).items()))

    def towers(self) -> tuple[Tower, ...]:
        """The towers that occur, in the order of `TOWERS`."""
        present = {head.tower for head in self}
        return tuple(tower for tower in TOWERS if tower in present)

    def in_tower(self, tower: Tower) -> "HeadSet":
        """The heads of one tower, order kept."""
        return HeadSet((head for head in self if head.tower == tower), self.reason)

    def sorted(self) -> "HeadSet":
        """The same heads by tower, layer and head."""
        return HeadSet(sorted(self), self.reason)

    @classmethod
    def parse(cls, text: str, reason: str = "") -> "HeadSet":
        """Heads separated by spaces or commas, `"L0.H1 L2.H3"`; the empty string is the empty set."""
        return cls((Head.parse(part) for part in text.replace(",", " ").split()), reason)

    @classmethod
    def from_mask(
        cls, mask: Bool[np.ndarray, "L H"] | Bool[Tensor, "L H"], reason: str = "", tower: Tower = "L"
    ) -> "HeadSet":
        """The heads where `mask` (bool, `[L, H]`) is true, by layer and head."""
        array = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else mask
        return cls((Head(int(layer), int(head), tower) for layer, head in np.argwhere(array)), reason)

    def mask(self, shape: tuple[int, int], tower: Tower = "L") -> Bool[np.ndarray, "L H"]:
        """Bool `[L, H]`, true at this set's heads. All heads must be of `tower` and fit `shape = (L, H)`."""
        mask = np.zeros(shape, dtype=bool)
        for head in self:
            if head.tower != tower or head.layer >= shape[0] or head.head >= shape[1]:
                raise HeadAtlasError(f"head {head} does not fit tower {tower} of {shape[0]} layers x {shape[1]} heads")
            mask[head.layer, head.head] = True
        return mask

    def to_json(self) -> dict[str, Any]:
        """`{"heads": ["L0.H1", ...], "reason": ""}`, order kept."""
        return {"heads": [str(head) for head in self], "reason": self.reason}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "HeadSet":
        """What `to_json` gave."""
        return cls((Head.parse(text) for text in value["heads"]), value.get("reason", ""))
