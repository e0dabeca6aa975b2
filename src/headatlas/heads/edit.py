"""Edits of heads as values: z' = factor * z + shift at the chosen heads, in five named forms."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Heads, HeadSet, as_heads

HeadArray = Float[np.ndarray, "L H D"] | Float[Tensor, "L H D"]
RowHeadArray = Float[np.ndarray, "B L H D"] | Float[Tensor, "B L H D"]


@dataclass(frozen=True, eq=False)
class Edit:
    """z' = `factor` * z + `shift` at `heads`; all other heads are unchanged.

    Attributes:
        heads: where the edit acts.
        factor: a finite number.
        shift: None, or floating values `[L, H, D]` over the whole tower of `heads` (all of one tower then), or
            `[B, L, H, D]` with one value for each batch row. Only the entries of `heads` are used; these must be finite.
        name: shown in messages.

    Raises:
        HeadAtlasError: a factor or shift that is not finite, or a shift of another shape.
    """

    heads: HeadSet
    factor: float
    shift: Float[Tensor, "L H D"] | Float[Tensor, "B L H D"] | None = None
    name: str = "edit"

    def __post_init__(self) -> None:
        if not math.isfinite(self.factor):
            raise HeadAtlasError(f"{self.name}: factor must be finite, got {self.factor}")
        if self.shift is not None:
            _check_values(self.name, self.heads, self.shift)

    def __repr__(self) -> str:
        shift = "" if self.shift is None else f", shift {list(self.shift.shape)}"
        return f"Edit({self.name}: factor {self.factor:g}{shift}, {self.heads!r})"

    @property
    def rows(self) -> int | None:
        """The number of batch rows for which `shift` has a value; None if it holds for every row."""
        return self.shift.shape[0] if self.shift is not None and self.shift.dim() == 4 else None

    def at_row(self, row: int) -> "Edit":
        """This edit for one row of the batch."""
        return self if self.rows is None else Edit(self.heads, self.factor, self.shift[row], self.name)  # pyright: ignore[reportOptionalSubscript]

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything on which the edit's effect depends: heads, factor, and shift in float32."""
        digest = hashlib.sha256(f"{' '.join(map(str, self.heads.sorted()))}|{self.factor!r}".encode())
        if self.shift is not None:
            index = [(h.layer, h.head) for h in self.heads.sorted()]
            used = _at(self.shift, index).detach().float().cpu().contiguous()
            digest.update(str(tuple(used.shape)).encode() + used.numpy().tobytes())
        return digest.hexdigest()


def scale(heads: Heads, factor: float = 0.001) -> Edit:
    """Multiply z by `factor`; 0.001 is the negative intervention of arXiv 2603.20662."""
    return Edit(as_heads(heads), float(factor), None, "scale")


def zero(heads: Heads) -> Edit:
    """Set z to 0, so that these heads contribute nothing."""
    return Edit(as_heads(heads), 0.0, None, "zero")


def mean(heads: Heads, means: HeadArray) -> Edit:
    """Replace z by `means` `[L, H, D]`, usually the mean of z over a dataset (mean ablation)."""
    return Edit(as_heads(heads), 0.0, torch.as_tensor(means), "mean")


def steer(
    heads: Heads,
    directions: HeadArray,
    alpha: float,
    sigma: Float[np.ndarray, "_L _H"] | Float[Tensor, "_L _H"],
) -> Edit:
    """Add `alpha * sigma * directions` to z, the positive intervention of arXiv 2603.20662 (alpha = 0.1 there).

    Args:
        heads: where to add it.
        directions: `[L, H, D]`, used as given; normalise them to length 1 first if `alpha` is to count in units of `sigma`.
        alpha: strength.
        sigma: `[L, H]`, the standard deviation of z along the directions.

    Raises:
        HeadAtlasError: `sigma` has another shape than the directions' `[L, H]`.
    """
    u, s = torch.as_tensor(directions), torch.as_tensor(sigma)
    if s.shape != u.shape[:2]:
        raise HeadAtlasError(f"steer: sigma must be {tuple(u.shape[:2])} to fit the directions, got {tuple(s.shape)}")
    return Edit(as_heads(heads), 1.0, float(alpha) * s.to(u)[..., None] * u, "steer")


def patch(heads: Heads, values: HeadArray | RowHeadArray) -> Edit:
    """Replace z by `values`: `[L, H, D]` for all rows, or `[B, L, H, D]` with one value for each batch row."""
    return Edit(as_heads(heads), 0.0, torch.as_tensor(values), "patch")


def _check_values(name: str, heads: HeadSet, values: Tensor) -> None:
    if len(heads.towers()) > 1:
        raise HeadAtlasError(
            f"{name}: heads must be of one tower to take values, got {heads.towers()}; use one edit each"
        )
    if values.dim() not in (3, 4) or not values.is_floating_point():
        raise HeadAtlasError(
            f"{name}: values must be floating, [L, H, D] or [B, L, H, D], got {values.dtype} {tuple(values.shape)}"
        )
    n_layers, n_heads = values.shape[-3:-1]
    for head in heads:
        if head.layer >= n_layers or head.head >= n_heads:
            raise HeadAtlasError(f"{name}: head {head} is outside the values of {n_layers} layers x {n_heads} heads")
    finite = torch.isfinite(_at(values, [(h.layer, h.head) for h in heads])).all(-1)  # [..., n]
    if not bool(finite.all()):
        bad = next(h for h, fine in zip(heads, finite.reshape(-1, len(heads)).all(0), strict=True) if not fine)
        raise HeadAtlasError(f"{name}: the values of head {bad} are NaN or infinite; leave the head out or fill them")


def _at(values: Tensor, index: list[tuple[int, int]]) -> Tensor:
    """`[..., n, D]` at the n pairs (layer, head)."""
    layers, heads = [i for i, _ in index], [j for _, j in index]
    return values[..., layers, heads, :]
