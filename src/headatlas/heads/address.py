"""Names of attention heads: `Head` (one), `HeadSet` (several, in an order) and `as_heads`, which makes a set of any spelling.

A head is written `L12.H5` (language model), `V3.H2` (vision tower), `X2.H1` (cross-attention), `E0.H3` (text encoder) or
`C1.H0` (connector). Whether a model has a head is checked by `HeadGrid`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.errors import HeadAtlasError

Tower = Literal["L", "V", "X", "E", "C"]
TOWERS: tuple[Tower, ...] = get_args(Tower)
"""`L` language model (in an encoder-decoder: the decoder's self-attention, including layers that attend to the decoder and the
encoder at once), `V` vision tower, `X` cross-attention layers of the language model, `E` text encoder of an encoder-decoder,
`C` connector between vision and language (a Q-former or resampler; its self- and cross-attention layers are numbered together,
in forward order)."""

BATCH_TOWERS: tuple[Tower, ...] = ("L", "X", "E")
"""Towers whose rows are the rows of the batch; in other towers a row is an image, a tile or a window."""
TEXT_TOWERS: tuple[Tower, ...] = ("L", "X")
"""Towers whose tokens are the text positions that scopes refer to."""

SHOWN = 12
"""Most heads that `repr` of a set shows."""

Heads = Any
"""What `as_heads` accepts: `"L0.H7"`, several of them in one text, `Head`, `(0, 7)`, `(0, 7, "V")`, a set or an iterable."""

_WRITTEN = re.compile(rf"([{''.join(TOWERS)}])(\d+)\.H(\d+)")


@dataclass(frozen=True)
class Head:
    """One attention head.

    Attributes:
        layer: from 0, counted over the *addressable* attention layers of the tower in forward order (see `find_heads` for the
            few vision towers with two encoders). `Site.name` gives the module's path in the model.
        head: from 0, among the layer's query heads.
        tower: one of `TOWERS`.

    Raises:
        HeadAtlasError: a negative number or an unknown tower.
    """

    layer: int
    head: int
    tower: Tower = "L"

    def __post_init__(self) -> None:
        if self.tower not in TOWERS or self.layer < 0 or self.head < 0:
            raise HeadAtlasError(
                f"a head must be (layer >= 0, head >= 0, tower in {TOWERS}), got ({self.layer}, {self.head}, {self.tower!r})"
            )

    def __str__(self) -> str:
        return f"{self.tower}{self.layer}.H{self.head}"

    def __lt__(self, other: "Head") -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, int]:
        return TOWERS.index(self.tower), self.layer, self.head

    @classmethod
    def parse(cls, text: str) -> "Head":
        """The head that a text such as `"L12.H5"` names; `HeadAtlasError` for any other text."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise HeadAtlasError(f"a head must be written like 'L12.H5', 'V3.H2' or 'X2.H1', got {text!r}")
        tower, layer, head = match.groups()
        return cls(int(layer), int(head), tower)  # pyright: ignore[reportArgumentType]


class HeadSet(Set[Head]):
    """An immutable set of heads that keeps the order in which they were given, such as a ranking.

    Two sets are equal if they have the same heads, whatever their order and reason. An empty set is a legal result of a
    selection; `reason` then says why nothing was selected.

    Args:
        heads: anything that `as_heads` accepts: `"L0.H7"`, `Head(0, 7)`, `(0, 7)`, a set, or an iterable of these.
        reason: how the set was chosen, in words.

    Raises:
        HeadAtlasError: something else than heads.
    """

    __slots__ = ("_heads", "reason")

    def __init__(self, heads: Heads = (), reason: str = "") -> None:
        self._heads: dict[Head, None] = dict.fromkeys(_each(heads))
        self.reason = reason

    def __iter__(self) -> Iterator[Head]:
        return iter(self._heads)

    def __len__(self) -> int:
        return len(self._heads)

    def __contains__(self, head: object) -> bool:
        return (_one(head) if isinstance(head, str | tuple) else head) in self._heads

    @overload
    def __getitem__(self, index: int) -> Head: ...

    @overload
    def __getitem__(self, index: slice) -> "HeadSet": ...

    def __getitem__(self, index: int | slice) -> "Head | HeadSet":
        """One head by its place, or a slice in order: `heads[:5]` are the first five."""
        heads = list(self._heads)
        return HeadSet(heads[index], self.reason) if isinstance(index, slice) else heads[index]

    def __and__(self, other: Iterable[Any]) -> "HeadSet":
        wanted = HeadSet(other)
        return HeadSet(head for head in self if head in wanted)

    def __hash__(self) -> int:
        return self._hash()

    def __str__(self) -> str:
        """Every head, separated by blanks, as `parse` reads it."""
        return " ".join(map(str, self))

    def __repr__(self) -> str:
        shown = " ".join(map(str, list(self)[:SHOWN])) + (f" ... {len(self)} heads" if len(self) > SHOWN else "")
        return f"HeadSet({shown!r}{f', reason={self.reason!r}' if self.reason else ''})"

    def layers(self) -> dict[int, int]:
        """Number of heads per layer, `{layer: count}`, layers ascending."""
        return dict(sorted(Counter(head.layer for head in self).items()))

    def towers(self) -> tuple[Tower, ...]:
        """The towers of these heads, in the order of `TOWERS`."""
        present = {head.tower for head in self}
        return tuple(tower for tower in TOWERS if tower in present)

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
        """The heads where `mask` (bool, `[L, H]`) is true, in the order of layers and heads."""
        array = mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else mask
        return cls((Head(int(layer), int(head), tower) for layer, head in np.argwhere(array)), reason)

    def mask(self, shape: tuple[int, int], tower: Tower = "L") -> Bool[np.ndarray, "L H"]:
        """Bool `[L, H]`, true at these heads; `HeadAtlasError` if one is of another tower or outside `shape = (L, H)`."""
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
        """The set that `to_json` wrote."""
        return cls((Head.parse(text) for text in value["heads"]), value.get("reason", ""))


def as_heads(heads: Heads) -> HeadSet:
    """A `HeadSet` from any spelling of heads; a `HeadSet` is returned as it is.

    Args:
        heads: a written head `"L0.H7"` or several, `"L0.H7 L1.H2"`; a `Head`; a tuple `(layer, head)` or
            `(layer, head, tower)`; or an iterable of these.

    Raises:
        HeadAtlasError: anything else; the message names the first part that is not a head.
    """
    return heads if isinstance(heads, HeadSet) else HeadSet(heads)


def as_head(head: Heads) -> Head:
    """The one `Head` that any spelling of `as_heads` names.

    Raises:
        HeadAtlasError: anything else, or none or several heads.
    """
    heads = as_heads(head)
    if len(heads) != 1:
        raise HeadAtlasError(f"head must be a single one, such as 'L0.H7', got {len(heads)} heads")
    return heads[0]


def _each(heads: Heads) -> Iterable[Head]:
    if isinstance(heads, str):
        return [Head.parse(part) for part in heads.replace(",", " ").split()]
    if isinstance(heads, Head) or (isinstance(heads, tuple) and heads and _is_int(heads[0])):
        return [_one(heads)]
    if not isinstance(heads, Iterable):
        raise _no_head(heads)
    return [_one(head) for head in heads]


def _one(head: Any) -> Head:
    if isinstance(head, Head):
        return head
    if isinstance(head, str):
        return Head.parse(head)
    parts = list(head) if isinstance(head, tuple | list | np.ndarray) else []
    if len(parts) not in (2, 3) or not all(map(_is_int, parts[:2])):
        raise _no_head(head)
    return Head(index(parts[0]), index(parts[1]), *parts[2:])


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _no_head(head: Any) -> HeadAtlasError:
    return HeadAtlasError(
        f"heads must be 'L0.H7', Head(0, 7), (0, 7), a HeadSet or an iterable of these, got {_shortened(repr(head))}"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
