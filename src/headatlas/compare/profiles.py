"""Layer profiles: how a function's score is distributed over the depth of a model, for models with any number of layers.

Depth is relative: layer l of L covers l/L to (l+1)/L, and the share of a layer is spread evenly over it. The distance
between two profiles is the earth mover's (Wasserstein-1), exact for such step densities, as a share of the whole depth: 0.1
means that they are a tenth of the depth apart on average.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

MOST_BINS = 20


def layer_mass(values: Float[np.ndarray, "*any L H"]) -> Float[np.ndarray, "*any L"]:
    """Share of the positive score in each layer, 0..1, summing to 1; NaN if no score is above 0.

    A head with a negative score works against the function and counts as 0.
    """
    mass = np.clip(np.nan_to_num(np.asarray(values, dtype=float)), 0, None).sum(-1)
    total = mass.sum(-1, keepdims=True)
    return np.divide(mass, total, out=np.full_like(mass, np.nan), where=total > 0)


def n_bins(layers: list[int]) -> int:
    """The number of depth bins: the layers of the shallowest model, at most `MOST_BINS`."""
    return min([*layers, MOST_BINS])


def binned(mass: Float[np.ndarray, "*any L"], bins: int) -> Float[np.ndarray, "*any K"]:
    """The same shares in `bins` equal bins of relative depth."""
    layers = mass.shape[-1]
    low, high = np.arange(layers) / layers, np.arange(1, layers + 1) / layers
    left, right = np.arange(bins) / bins, np.arange(1, bins + 1) / bins
    shared = np.clip(np.minimum(high[:, None], right) - np.maximum(low[:, None], left), 0, None)  # [L, K]
    return mass @ (shared * layers)


def distance(a: Float[np.ndarray, "... L1"], b: Float[np.ndarray, "... L2"]) -> Float[np.ndarray, ...]:
    """Earth mover's distance (0..1, of the whole depth) between profiles; NaN where one is NaN. Leading axes broadcast."""
    edges = np.unique(np.concatenate([np.linspace(0, 1, m.shape[-1] + 1).round(12) for m in (a, b)]))
    gap = _cumulative(a, edges) - _cumulative(b, edges)
    before, after = gap[..., :-1], gap[..., 1:]
    sizes = np.abs(before) + np.abs(after)
    # Between two edges the gap is linear; where it crosses 0, its area is that of two triangles.
    crossing = np.divide(before**2 + after**2, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    area = np.where(before * after < 0, crossing, sizes) / 2
    return np.where(np.isnan(gap).any(-1), np.nan, area @ np.diff(edges))


def correlation(a: Float[np.ndarray, "... K"], b: Float[np.ndarray, "... K"]) -> Float[np.ndarray, ...]:
    """Pearson correlation along the last axis; NaN where a side is constant or NaN. Leading axes broadcast."""
    one, two = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    norm = np.sqrt((one**2).sum(-1) * (two**2).sum(-1))
    return np.divide((one * two).sum(-1), norm, out=np.full_like(norm, np.nan), where=norm > 1e-15)


def _cumulative(mass: Float[np.ndarray, "*any L"], edges: Float[np.ndarray, " G"]) -> Float[np.ndarray, "*any G"]:
    """The share of the score below each relative depth; linear within a layer."""
    layers = mass.shape[-1]
    filled = np.clip(edges[None, :] * layers - np.arange(layers)[:, None], 0, 1)  # [L, G]: part of a layer passed
    return mass @ filled
