"""Localisation: how far a head's attention on the picture is one spot (arXiv 2503.06287).

On a CPU the spots of a map are labelled by scipy. On other devices they are labelled there, because there are as many maps as
heads times steps, and one core of the host would take longer over them than the device over the whole pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import max_pool2d

from headatlas.families.image_grid import ImageTokens

AT_ONCE = 1 << 24
"""Cells of maps that are kept before they are labelled."""

EMPTY = 1e-6
"""Mass of a map below which it counts as empty."""

Plane = tuple[np.ndarray, np.ndarray]
"""Indices of the tokens of one tile, and their (row, column)."""


def _planes(tokens: ImageTokens) -> list[Plane]:
    planes = []
    for image in np.unique(tokens.image):
        for tile in np.unique(tokens.tile[tokens.image == image]):
            index = np.flatnonzero((tokens.image == image) & (tokens.tile == tile) & (tokens.column >= 0))
            planes.append((index, np.stack([tokens.row[index], tokens.column[index]])))
    return planes


def alike(tokens: Sequence[ImageTokens], rows: Sequence[int]) -> list[tuple[list[Plane], list[int]]]:
    """The steps whose pictures are laid out alike, and the planes of these pictures."""
    planes = [_planes(each) for each in tokens]
    keys = [
        (len(each.column), len(made), *(part.tobytes() for plane in made for part in plane))
        for each, made in zip(tokens, planes, strict=True)
    ]
    groups: dict[tuple[Any, ...], tuple[list[Plane], list[int]]] = {}
    for step, row in enumerate(rows):
        groups.setdefault(keys[row], (planes[row], []))[1].append(step)
    return list(groups.values())


class Maps:
    """The maps on pictures that are laid out alike, of all layers of a pass, and their spatial entropy.

    Args:
        planes: see `alike`.
        steps: numbers of the steps that are asked about such pictures.
        image: sequence positions of each step's image tokens.
    """

    def __init__(self, planes: list[Plane], steps: list[int], image: Int[Tensor, "S n"]) -> None:
        self.planes, self.steps = planes, steps
        self._image = image
        self._open: list[Float[Tensor, "S H n"]] = []
        self._found: list[Float[Tensor, " M"]] = []
        self._layers: list[tuple[int, tuple[int, ...]]] = []

    def take(self, layer: int, heads: tuple[int, ...], mean: Float[Tensor, "steps H K"]) -> None:
        """Take the mean rows of all steps in one layer."""
        if self._image.device != mean.device:
            self._image = self._image.to(mean.device)
        mine = mean if len(self.steps) == len(mean) else mean[torch.tensor(self.steps, device=mean.device)]
        self._open.append(mine.gather(2, self._image[:, None].expand(-1, len(heads), -1)))
        self._layers.append((layer, heads))
        if sum(maps.numel() for maps in self._open) >= AT_ONCE:
            self._label()

    def localised(self) -> list[tuple[int, tuple[int, ...], Float[np.ndarray, "S H"]]]:
        """Layer, heads and spatial entropy of each of the steps."""
        self._label()
        made = torch.cat(self._found).cpu().numpy() if self._found else np.zeros(0)
        sizes = [len(self.steps) * len(heads) for _, heads in self._layers]
        parts = np.split(made, np.cumsum(sizes)[:-1]) if sizes else []
        return [
            (layer, heads, part.reshape(len(self.steps), len(heads)))
            for (layer, heads), part in zip(self._layers, parts, strict=True)
        ]

    def _label(self) -> None:
        if not self._open:
            return
        device = self._open[0].device  # layers of a model spread over devices are elsewhere
        maps = torch.cat([part.to(device).flatten(0, 1) for part in self._open])
        self._open = []
        if device.type in ("cpu", "mps"):  # the latter has no float64
            found = torch.as_tensor(spatial_entropy(maps.cpu().numpy(), self.planes))
        else:
            found = spatial_entropy_on_device(maps, self.planes)
        self._found.append(found if not self._found else found.to(self._found[0].device))


def spatial_entropy(weights: Float[np.ndarray, "M n"], planes: Sequence[Plane]) -> Float[np.ndarray, " M"]:
    """Entropy (nats) of the mass over the connected spots of each of M maps: 0 for one spot, log c for c equal ones.

    A cell belongs to a spot if its weight is above the map's mean; cells that touch, also at a corner, are one spot. NaN where
    the map is empty.
    """
    total = np.zeros(len(weights))  # of the mass on spots
    logs = np.zeros(len(weights))  # sum of mass * log mass over the spots
    mean = weights.mean(1, dtype=np.float64)[:, None, None]  # exact where all cells are alike
    for index, (row, column) in planes:
        plane = np.zeros((len(weights), row.max() + 1, column.max() + 1))
        plane[:, row, column] = weights[:, index]
        labels, n = ndimage.label(plane > mean, structure=_WITHIN_A_MAP)
        mass = np.bincount(labels.ravel(), plane.ravel(), n + 1)[1:]
        owner = np.zeros(n + 1, int)
        owner[labels] = np.arange(len(weights))[:, None, None]
        np.add.at(total, owner[1:], mass)
        np.add.at(logs, owner[1:], mass * np.log(np.maximum(mass, 1e-300)))
    # H = -sum p log p with p = mass / total
    made = np.log(np.maximum(total, 1e-300)) - logs / np.maximum(total, 1e-300)
    flat = np.where(total > 0, np.maximum(made, 0.0), np.log(weights.shape[1]))
    return np.where(mean[:, 0, 0] * weights.shape[1] > EMPTY, flat, np.nan)


_WITHIN_A_MAP = np.zeros((3, 3, 3), int)
_WITHIN_A_MAP[1] = 1
"""Which neighbours touch in a stack of maps: the eight of the same map."""


def spatial_entropy_on_device(weights: Float[Tensor, "M n"], planes: Sequence[Plane]) -> Float[Tensor, " M"]:
    """`spatial_entropy` where the maps are, float64."""
    wide = weights.double()
    mean = wide.mean(1)
    total, logs = torch.zeros_like(mean), torch.zeros_like(mean)
    for index, (row, column) in planes:
        height, width = int(row.max()) + 1, int(column.max()) + 1
        cell, token = (torch.as_tensor(x, device=weights.device) for x in (row * width + column, index))
        plane = wide.new_zeros(len(wide), height * width).index_copy_(1, cell, wide.index_select(1, token))
        labels = spots((plane > mean[:, None]).unflatten(1, (height, width))).flatten(1)
        mass = wide.new_zeros(len(wide), height * width + 1).scatter_add_(1, labels, plane)[:, 1:]
        total += mass.sum(1)
        logs += torch.xlogy(mass, mass).sum(1)
    some = total.clamp(min=1e-300)
    made = (some.log() - logs / some).clamp(min=0)
    flat = torch.where(total > 0, made, np.log(weights.shape[1]))
    return flat.masked_fill(mean * weights.shape[1] <= EMPTY, torch.nan)


def spots(on: Bool[Tensor, "M R C"]) -> Int[Tensor, "M R C"]:
    """For each cell the number (from 1) of the last cell of its spot, 0 where it is in none.

    Every cell takes the largest number among its neighbours, and then the one that the cell of this number has, until nothing
    changes. The host waits once in four rounds.
    """
    cells = on[0].numel()
    mine = on.float()
    labels = mine * torch.arange(1, cells + 1, device=on.device, dtype=torch.float32).view(on.shape[1:])
    while True:
        before = labels
        for _ in range(4):
            grown = (max_pool2d(labels[:, None], 3, stride=1, padding=1)[:, 0] * mine).flatten(1)
            table = torch.nn.functional.pad(grown, (1, 0))
            labels = table.gather(1, grown.long()).view(on.shape)
        if torch.equal(before, labels):
            return labels.long()
