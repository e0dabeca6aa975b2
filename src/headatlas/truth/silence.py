"""Silence heads during training: replace their z at chosen positions, differentiably."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas.heads import HeadGrid

Fill = Literal["zero", "mean", "donor"]
"""What replaces the z of a silenced head: zero, its running mean, or its z in another conversation of the batch."""
FILLS: tuple[Fill, ...] = ("zero", "mean", "donor")
_DECAY = 0.98


class Silencer:
    """Replaces the z of silenced heads in the next forward pass.

    Attributes:
        means: running mean of z by layer [H, D], updated with the positions that are not silenced.
    """

    def __init__(self, grid: HeadGrid) -> None:
        self._sites = {site.layer: site for site in grid.tower("L")}
        self.means: dict[int, Float[Tensor, "H D"]] = {}
        self._masks: dict[int, Bool[Tensor, "B T H"]] = {}
        self._fills: list[Fill] = []
        self._valid: Bool[Tensor, "B T"] | None = None
        self._fired: set[int] = set()

    @contextmanager
    def silencing(
        self, masks: dict[int, Bool[Tensor, "B T H"]], fills: list[Fill], valid: Bool[Tensor, "B T"]
    ) -> Iterator[None]:
        """Within the block z is replaced where `masks[layer]` is True; `fills` has one entry for each row.

        Raises:
            RuntimeError: a layer with a mask was not run.
        """
        self._masks, self._fills, self._valid, self._fired = masks, fills, valid, set()
        handles = [site.module.register_forward_pre_hook(self._hook(layer)) for layer, site in self._sites.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        missed = set(masks) - self._fired
        if missed:
            raise RuntimeError(f"layers {sorted(missed)} were to be silenced and did not run")

    def _hook(self, layer: int) -> Any:
        site = self._sites[layer]

        def hook(module: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            self._fired.add(layer)
            x = args[0]
            z = x.unflatten(-1, (site.n_heads, site.d_head))  # [B, T, H, D]
            mask = self._masks.get(layer)
            self._update(layer, z, mask)
            if mask is None or not bool(mask.any()):
                return args
            other = torch.stack([self._other(layer, z, row, fill) for row, fill in enumerate(self._fills)])
            return (torch.where(mask[..., None], other.to(z.dtype), z).flatten(-2), *args[1:])

        return hook

    def _other(self, layer: int, z: Float[Tensor, "B T H D"], row: int, fill: Fill) -> Float[Tensor, "T H D"]:
        if fill == "donor" and len(z) > 1:
            return z[(row + 1) % len(z)].detach()
        if fill == "mean":
            return self.means[layer].expand(z.shape[1], -1, -1)
        return torch.zeros_like(z[row])

    @torch.no_grad()
    def _update(self, layer: int, z: Float[Tensor, "B T H D"], mask: Bool[Tensor, "B T H"] | None) -> None:
        assert self._valid is not None
        intact = self._valid[..., None].expand(*z.shape[:3])
        if mask is not None:
            intact = intact & ~mask
        count = intact.sum((0, 1)).clamp(min=1)[:, None]
        mean = torch.where(intact[..., None], z.detach().float(), 0.0).sum((0, 1)) / count
        running = self.means.get(layer)
        self.means[layer] = mean if running is None else _DECAY * running + (1 - _DECAY) * mean
