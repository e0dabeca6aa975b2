"""Scores for other questions: resamples and halves of the questions on which heads were scored.

Scores are recomputed from the contribution of each step (`PerSample`). Probes are not fitted again, so the uncertainty of
fitting is not included.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.scoring import PerSample

N_RESAMPLES, N_HALVES = 300, 20


def resampled(samples: PerSample, seed: int = 0, n: int = N_RESAMPLES) -> Float[np.ndarray, "B F L H"]:
    """Scores in `n` resamples of whole questions, drawn with replacement; NaN where a function has no step in one."""
    size = len(np.unique(samples.cluster))
    return _means(samples, np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=n).astype(float))


def halves(
    samples: PerSample, seed: int = 0, n: int = N_HALVES
) -> tuple[Float[np.ndarray, "B F L H"], Float[np.ndarray, "B F L H"]]:
    """Scores in both halves of the questions, for `n` random divisions."""
    rng, size = np.random.default_rng(seed), len(np.unique(samples.cluster))
    inside = rng.permuted(np.tile(np.arange(size) < size // 2, (n, 1)), axis=1)
    return _means(samples, inside.astype(float)), _means(samples, (~inside).astype(float))


def _means(samples: PerSample, weights: Float[np.ndarray, "B K"]) -> Float[np.ndarray, "B F L H"]:
    _, cluster = np.unique(samples.cluster, return_inverse=True)
    n_clusters, grid = weights.shape[1], samples.values.shape[1:]
    sums = np.zeros((n_clusters, len(FUNCTIONS), *grid))
    counts = np.zeros((n_clusters, len(FUNCTIONS)))
    np.add.at(sums, (cluster, samples.function), samples.values)
    np.add.at(counts, (cluster, samples.function), 1)
    totals = (weights @ sums.reshape(n_clusters, -1)).reshape(len(weights), len(FUNCTIONS), *grid)
    steps = (weights @ counts)[:, :, None, None]
    return np.divide(totals, steps, out=np.full_like(totals, np.nan), where=steps > 0)
