"""The area under the ROC curve for many scores at once; ties count half."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float


def weighted_auc(
    scores: Float[np.ndarray, " N"], labels: Bool[np.ndarray, " N"], weights: Float[np.ndarray, "B N"]
) -> Float[np.ndarray, " B"]:
    """AUC (0..1) under each row of sample weights; 0.5 where a class has no weight. Ties count half."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights = weights[:, order]
    positive = np.add.reduceat(weights * labels[order], starts, axis=1)
    negative = np.add.reduceat(weights * ~labels[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    return np.where(pairs > 0, (positive * below).sum(1) / np.where(pairs > 0, pairs, 1), 0.5)


def auc(scores: Float[np.ndarray, " N"], labels: Bool[np.ndarray, " N"]) -> float:
    """AUC (0..1) of one score; 0.5 where a class is missing. Ties count half."""
    return float(weighted_auc(scores, labels, np.ones((1, len(scores))))[0])


def auc_columns(scores: Float[torch.Tensor, "J N K"], labels: Bool[torch.Tensor, "N K"]) -> Float[torch.Tensor, "J K"]:
    """AUC (0..1) of scores[j, :, k] for labels[:, k]; 0.5 where a class is missing. Ties count half."""
    n = scores.shape[1]
    ordered, order = (
        scores.transpose(1, 2).contiguous().sort(dim=-1)
    )  # [J, K, N]: scores and their rows from low to high
    place = torch.arange(1, n + 1, dtype=scores.dtype)
    hits = labels.T.to(scores.dtype).expand(scores.shape[0], -1, -1).gather(2, order)  # [J, K, N]
    rank_sum = hits @ place
    tied = (ordered[..., 1:] == ordered[..., :-1]).any(-1)  # [J, K]
    if tied.any():  # such as a head whose z is always 0
        some = ordered[tied]  # [M, N]
        first, last = torch.searchsorted(some, some), torch.searchsorted(some, some, right=True)
        rank_sum[tied] = (hits[tied] * (first + last + 1).to(scores.dtype) / 2).sum(-1)
    positive = labels.sum(0).to(scores.dtype)
    pairs = positive * (n - positive)
    area = (rank_sum - positive * (positive + 1) / 2) / pairs.clamp(min=1)
    return torch.where(pairs > 0, area, torch.full_like(area, 0.5))
