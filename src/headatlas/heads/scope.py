"""Where in the sequence an edit acts: scopes, their masks, and the part of a mask that the current forward sees."""

from dataclasses import dataclass, fields
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.printing import brief

Scope = Literal["all", "image", "prompt", "answer", "last"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""`all`: every position, padding too; `image`: image tokens; `prompt`: everything before the answers; `answer`: the positions
that predict an answer token (last prompt token up to the token before the end of turn); `last`: the last prompt position."""

DECODED: dict[Scope, bool] = {"all": True, "image": False, "prompt": False, "answer": True, "last": True}
"""Whether a token that `generate` has appended (T = 1, with a cache) is in the scope."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Masks of one batch over its full sequence: bool `[B, T]`, false at padding, which counts in T.

    A scope whose mask is None cannot be used with this batch.
    """

    image: Bool[Tensor, "_B _T"] | None = None
    prompt: Bool[Tensor, "_B _T"] | None = None
    answer: Bool[Tensor, "_B _T"] | None = None
    last: Bool[Tensor, "_B _T"] | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        shapes = {f.name: tuple(m.shape) for f in fields(self) if (m := getattr(self, f.name)) is not None}
        if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
            raise HeadAtlasError(f"the masks of a batch must all be [B, T] of one shape, got {shapes}")

    def mask(self, scope: Scope) -> Bool[Tensor, "B T"]:
        """The mask of `scope` (not `all`, which needs none); `HeadAtlasError` if the batch has none."""
        mask = getattr(self, scope) if scope in SCOPES and scope != "all" else None
        if mask is None:
            have = [f.name for f in fields(self) if getattr(self, f.name) is not None]
            raise HeadAtlasError(f"scope {scope!r} needs the mask {scope!r} of the batch, which has {have or 'none'}")
        return mask


@runtime_checkable
class HasMask(Protocol):
    """Gives the mask of a scope: `Positions`, or its counterpart when only some positions are run."""

    def mask(self, scope: Scope) -> Tensor:
        """The mask of a scope."""
        ...


@dataclass(frozen=True)
class Window:
    """The tokens that the current forward of the language model sees: `past` cached ones, then `length` new ones."""

    past: int
    length: int


def check_scope(scope: str) -> Scope:
    """`scope` if it is one of `SCOPES`, else `HeadAtlasError`."""
    if scope not in SCOPES:
        raise HeadAtlasError(f"scope must be one of {', '.join(SCOPES)}, got {scope!r}")
    return scope  # pyright: ignore[reportReturnType]


def current_mask(
    scope: Scope, positions: HasMask | None, window: Window | None, rows: int, length: int
) -> Bool[Tensor, "B t"] | None:
    """The part of the scope's mask that the current forward sees.

    Without a cache the masks must cover exactly the forward's tokens. With `past` cached tokens the forward sees
    `mask[:, past:past+t]` or, after the end of the masks, one decoded token.

    Args:
        scope: where the edit acts.
        positions: masks of the batch.
        window: the tokens of the current forward.
        rows, length: B and T of z in this forward.

    Returns:
        Bool `[B, t]`; None when every position is in scope.

    Raises:
        HeadAtlasError: masks are missing or do not fit the forward.
    """
    if scope == "all":
        return None
    if positions is None:
        raise HeadAtlasError(f"scope {scope!r} needs the batch's Positions; set active.positions before the forward")
    mask = positions.mask(scope)
    if window is None or window.length != length:
        raise HeadAtlasError(
            f"scope {scope!r} cannot place {length} tokens: the language model's own forward saw "
            f"{window.length if window else 'none'}; call the model itself, not one of its layers"
        )
    if mask.shape[0] != rows:
        raise HeadAtlasError(
            f"the masks of scope {scope!r} have {mask.shape[0]} rows, the forward has {rows}; give Positions of this "
            "batch (beams and several returned sequences per row are not supported)"
        )
    total, end = mask.shape[1], window.past + length
    if window.past == 0 and end != total:
        raise HeadAtlasError(
            f"the masks of scope {scope!r} cover {total} tokens, the forward has {length}; set them for every batch"
        )
    if end <= total:
        return mask[:, window.past : end]
    if window.past >= total and length == 1:
        return torch.full((rows, 1), DECODED[scope], dtype=torch.bool, device=mask.device)
    raise HeadAtlasError(
        f"scope {scope!r}: a forward of tokens {window.past}..{end - 1} goes beyond masks of {total} tokens by more "
        "than one decoded token; decode token by token or set longer masks"
    )
