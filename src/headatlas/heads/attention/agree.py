"""Whether attention rows agree with the kernel's own output: compared on the device at every layer, read by the host once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.errors import HeadAtlasError

CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest accepted difference between a . V and the kernel's output, as a share of the largest value; 0.03 in half precision."""


def share(off: float, value: float) -> float:
    """The largest difference as a share of the largest value."""
    return off / max(value, 1e-30)


@dataclass(frozen=True)
class Kernel:
    """What messages say about a call of an attention function.

    Attributes:
        module: the class of its module.
        layer: its number, if the module has one.
        implementation: `sdpa`, `eager`...
        dtype: of its output.
        options: names of its further arguments.
        dropout: whether it drops weights at random.
    """

    module: str
    layer: int | None
    implementation: str
    dtype: torch.dtype
    options: tuple[str, ...]
    dropout: bool

    def require(self, gap: float) -> None:
        """Raise `HeadAtlasError` unless a . V, `gap` away from the kernel's output, is finite and close to it."""
        if math.isnan(gap):
            raise self.not_finite()
        if not gap <= CLOSE.get(self.dtype, 3e-2):
            dropout = "; attention dropout is on, call model.eval()" if self.dropout else ""
            raise HeadAtlasError(
                f"attention rows of {self.module} cannot be read: a . V differs from the {self.implementation} "
                f"kernel's output by {gap:.1e} of its largest value{dropout}; its options are {', '.join(self.options)}"
            )

    def not_finite(self) -> HeadAtlasError:
        """The error for NaN or infinity in the call."""
        dtype = str(self.dtype).removeprefix("torch.")
        advice = "check the weights" if dtype == "float32" else "load the model with dtype=bfloat16 (or float32)"
        where = self.module + ("" if self.layer is None else f" in layer {self.layer}")
        return HeadAtlasError(f"attention of {where} must be finite, got NaN or infinity in {dtype}; {advice}")


class Comparisons:
    """The comparisons of a forward's calls, which are read together at its end, so that the host waits for the device once."""

    def __init__(self) -> None:
        self._open: list[tuple[Kernel, Float[Tensor, ""], Float[Tensor, ""]]] = []

    def add(self, kernel: Kernel, off: Float[Tensor, ""], value: Float[Tensor, ""]) -> None:
        """Take what `AttentionCall.largest` gives for a call."""
        self._open.append((kernel, off, value))

    def clear(self) -> None:
        """Forget those that were not read."""
        self._open.clear()

    def require(self) -> None:
        """Read what was added since the last time; raise `HeadAtlasError` for the first call that does not agree."""
        if not self._open:
            return
        opened, self._open = self._open, []
        device = opened[0][1].device  # layers of a model spread over devices are elsewhere
        values = torch.stack([number.to(device) for _, off, value in opened for number in (off, value)]).tolist()
        for (kernel, _, _), off, value in zip(opened, values[::2], values[1::2], strict=True):
            kernel.require(share(off, value))
