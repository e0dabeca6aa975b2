"""What is done to heads, declared: z' = factor * z + shift at the chosen heads.

Knows the arithmetic and its five named forms; does not know a model, the scope or the rows of a batch (apply.py does).
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import Head, HeadSet

HeadArray = Float[np.ndarray, "L H D"] | Float[Tensor, "L H D"]
RowHeadArray = Float[np.ndarray, "B L H D"] | Float[Tensor, "B L H D"]


@dataclass(frozen=True, eq=False)
class Edit:
    """z' = `factor` * z + `shift` at `heads`, everything else untouched.

    `shift` is indexed like the model: `[L, H, D]`, or `[B, L, H, D]` for one value per batch row, over the tower of
    `heads` (all of one tower then); only the entries of `heads` are used, and these must be finite. None is no shift.
    """

    heads: HeadSet
    factor: float
    shift: Float[Tensor, "L H D"] | Float[Tensor, "B L H D"] | None = None
    name: str = "edit"

    def __post_init__(self) -> None:
        if not math.isfinite(self.factor):
            raise HeadAtlasError(f"{self.name}: expected a finite factor, got {self.factor}")
        if self.shift is not None:
            _check_values(self.name, self.heads, self.shift)

    @property
    def rows(self) -> int | None:
        """The number of batch rows `shift` is given for; None if it holds for any row."""
        return self.shift.shape[0] if self.shift is not None and self.shift.dim() == 4 else None

    def at_row(self, row: int) -> "Edit":
        """This edit for one row of the batch alone."""
        return self if self.rows is None else Edit(self.heads, self.factor, self.shift[row], self.name)  # pyright: ignore[reportOptionalSubscript]

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes with anything that changes the edit's effect (heads, factor, shift in float32)."""
        digest = hashlib.sha256(f"{self.heads.sorted()}|{self.factor!r}".encode())
        if self.shift is not None:
            index = [(h.layer, h.head) for h in self.heads.sorted()]
            used = _at(self.shift, index).detach().float().cpu().contiguous()
            digest.update(str(tuple(used.shape)).encode() + used.numpy().tobytes())
        return digest.hexdigest()


def scale(heads: Iterable[Head | str], factor: float = 0.001) -> Edit:
    """Multiply z by `factor`. 0.001 is the paper's negative intervention (arXiv 2603.20662)."""
    return Edit(_head_set(heads), float(factor), None, "scale")


def zero(heads: Iterable[Head | str]) -> Edit:
    """Set z to 0: the layer then gets nothing from these heads."""
    return Edit(_head_set(heads), 0.0, None, "zero")


def mean(heads: Iterable[Head | str], means: HeadArray) -> Edit:
    """Replace z by `means` (`[L, H, D]`), usually the heads' mean over a dataset: mean ablation."""
    return Edit(_head_set(heads), 0.0, torch.as_tensor(means), "mean")


def steer(
    heads: Iterable[Head | str],
    directions: HeadArray,
    alpha: float,
    sigma: Float[np.ndarray, "_L _H"] | Float[Tensor, "_L _H"],
) -> Edit:
    """Add `alpha * sigma * directions` to z.

    `directions` (`[L, H, D]`) are used as given: normalise them to length 1 first if `alpha` is to count in units of
    `sigma` (`[L, H]`, the standard deviation of z along them). Paper: alpha = 0.1.
    """
    u, s = torch.as_tensor(directions), torch.as_tensor(sigma)
    if s.shape != u.shape[:2]:
        raise HeadAtlasError(f"steer: expected sigma {tuple(u.shape[:2])} to fit the directions, got {tuple(s.shape)}")
    return Edit(_head_set(heads), 1.0, float(alpha) * s.to(u)[..., None] * u, "steer")


def patch(heads: Iterable[Head | str], values: HeadArray | RowHeadArray) -> Edit:
    """Replace z by `values`: `[L, H, D]` for every row, or `[B, L, H, D]` with one value per batch row."""
    return Edit(_head_set(heads), 0.0, torch.as_tensor(values), "patch")


def _head_set(heads: Iterable[Head | str]) -> HeadSet:
    return heads if isinstance(heads, HeadSet) else HeadSet(heads)


def _check_values(name: str, heads: HeadSet, values: Tensor) -> None:
    if len(heads.towers()) > 1:
        raise HeadAtlasError(f"{name}: values [L, H, D] are of one tower, the heads of {heads.towers()}; one edit each")
    if values.dim() not in (3, 4) or not values.is_floating_point():
        raise HeadAtlasError(
            f"{name}: expected floating values [L, H, D] or [B, L, H, D], got {values.dtype} {tuple(values.shape)}"
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
