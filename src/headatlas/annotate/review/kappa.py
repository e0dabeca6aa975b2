"""Agreement beyond chance of several people who label the same items: Fleiss' kappa and Krippendorff's alpha, nominal.

Both are 1 for full agreement and about 0 for random labels; NaN if no item was labelled twice or all labels are the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from statsmodels.stats.inter_rater import fleiss_kappa


def counts(items: Sequence[Sequence[Hashable]]) -> Float[np.ndarray, "items labels"]:
    """How often each item was given each label; labels in order of appearance."""
    labels = {label: None for item in items for label in item}
    place = {label: i for i, label in enumerate(labels)}
    table = np.zeros((len(items), len(place)))
    for row, item in enumerate(items):
        for label in item:
            table[row, place[label]] += 1
    return table


def fleiss(items: Sequence[Sequence[Hashable]]) -> tuple[float, int, int]:
    """Fleiss' kappa (1971), which needs the same number of labels for every item.

    Args:
        items: the labels of each item, one per person.

    Returns:
        (kappa, number of items used, labels per item). Items are used if they have the most common number of labels, at
        least 2; of equally common numbers the larger one.
    """
    sizes = [len(item) for item in items if len(item) >= 2]
    if not sizes:
        return float("nan"), 0, 0
    size = max(set(sizes), key=lambda n: (sizes.count(n), n))
    table = counts([item for item in items if len(item) == size])
    if table.shape[1] < 2:
        return float("nan"), len(table), size
    return float(fleiss_kappa(table)), len(table), size


def krippendorff_alpha(items: Sequence[Sequence[Hashable]]) -> float:
    """Krippendorff's alpha for nominal labels (2011); items with fewer than two labels do not count."""
    table = counts([item for item in items if len(item) >= 2])
    if not len(table):
        return float("nan")
    size, totals = table.sum(1, keepdims=True), table.sum(0)
    n = totals.sum()
    agreeing = (table * (table - 1) / (size - 1)).sum()
    expected = (totals * (totals - 1)).sum() / (n - 1)
    return float("nan") if expected >= n - 1e-9 else float(1 - (n - agreeing) / (n - expected))


def pairwise(items: Sequence[Sequence[Hashable]]) -> float:
    """Mean over items of the share of equal pairs of labels, 0 to 1; NaN if no item has two labels."""
    table = counts([item for item in items if len(item) >= 2])
    if not len(table):
        return float("nan")
    size = table.sum(1)
    return float(((table * (table - 1)).sum(1) / (size * (size - 1))).mean())
