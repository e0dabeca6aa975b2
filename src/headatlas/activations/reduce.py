"""Reduce z at all tokens to one mean for each step, layer by layer, while the model runs.

The selected tokens are averaged inside the hook, in float32, so that nothing of size [B, T] is kept longer than a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.activations.tokens import Run


class StepMeans:
    """The callback of a `ZReader`: `means [K, L, H, D]`, float32, on the model's device, of K runs `(row, (start, end))`.

    Args:
        runs: row of the batch, first token and token after the last, for each mean.
        shape: (L, H, D) of the language tower.
        device: where the means are kept.
    """

    many = False
    """Whether a layer may be read several times in a forward."""

    def __init__(self, runs: Sequence[tuple[int, Run]], shape: tuple[int, int, int], device: torch.device) -> None:
        lengths = torch.tensor([end - start for _, (start, end) in runs])
        if bool((lengths < 1).any()):
            raise AssertionError(f"a run of tokens must not be empty, got {runs[int(lengths.argmin())]}")
        layers, heads, d_head = shape
        self._sums = torch.zeros(layers, len(runs), heads, d_head, device=device)
        self.calls = [0] * layers
        """How often each layer's z was read."""
        self._segment = torch.repeat_interleave(torch.arange(len(runs)), lengths).to(device)
        self._rows = torch.tensor([row for row, _ in runs]).repeat_interleave(lengths).to(device)
        self._cols = torch.cat([torch.arange(start, end) for _, (start, end) in runs]).to(device)
        self._lengths = lengths.to(device)

    @property
    def means(self) -> Float[Tensor, "K L H D"]:
        """The means; NaN in a layer that was not read."""
        made = self._sums / self._lengths[:, None, None]
        for layer, calls in enumerate(self.calls):
            if not calls:
                made[layer] = torch.nan
        return made.transpose(0, 1)

    def __call__(self, layer: int, z: Float[Tensor, "B T H D"]) -> None:
        """Take one layer's z."""
        move = z.device  # a model spread over devices has its layers elsewhere
        picked = z[self._rows.to(move), self._cols.to(move)].to(self._sums)  # [n, H, D], float32
        if self.calls[layer]:  # as in a forward after an earlier one: the last call counts
            self._sums[layer].zero_()
        self._sums[layer].index_add_(0, self._segment, picked)
        self.calls[layer] += 1


class PictureMeans:
    """The callback of a `ZReader` of a tower whose rows are pictures, tiles or windows: `means [K, L, H, D]`, float32, is K
    times the mean over all positions of one forward.

    Args:
        n: K, the steps of the question that is run.
        shape: (L, H, D) of the tower.
        device: where the means are kept.
    """

    many = True

    def __init__(self, n: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self.calls = [0] * shape[0]
        self._n, self._sums = n, torch.zeros(shape, device=device)
        self._counts = torch.zeros(shape[0], device=device)

    @property
    def means(self) -> Float[Tensor, "K L H D"]:
        """The means; NaN in a layer that was not read."""
        return (self._sums / self._counts[:, None, None]).expand(self._n, -1, -1, -1)

    def __call__(self, layer: int, z: Float[Tensor, "B T H D"]) -> None:
        """Take one call of one layer."""
        self.calls[layer] += 1
        self._sums[layer] += z.to(self._sums).sum((0, 1))
        self._counts[layer] += z.shape[0] * z.shape[1]
