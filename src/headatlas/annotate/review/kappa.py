"""Agreement beyond chance of several people who label the same things: Fleiss' kappa and Krippendorff's alpha, nominal.

Knows counts; knows nothing of votes. Both are 1 for full agreement, about 0 for labels given by chance, and NaN where they say
nothing: nothing labelled twice, or one label only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from statsmodels.stats.inter_rater import fleiss_kappa


def counts(items: Sequence[Sequence[Hashable]]) -> Float[np.ndarray, "items labels"]:
    """How often each label was given to each item; labels in order of appearance."""
    labels = {label: None for item in items for label in item}
    place = {label: i for i, label in enumerate(labels)}
    table = np.zeros((len(items), len(place)))
    for row, item in enumerate(items):
        for label in item:
            table[row, place[label]] += 1
    return table


def fleiss(items: Sequence[Sequence[Hashable]]) -> tuple[float, int, int]:
    """Fleiss' kappa (1971), which wants as many labels of every item.

    Args:
        items: The labels of each item, one a person.

    Returns:
        kappa, and on how many items with how many labels each it was taken: those with the commonest number (the larger of
        equally common ones) of labels, at least 2.
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
    """Krippendorff's alpha for nominal labels (2011), whatever number of labels each item has; items with one do not count."""
    table = counts([item for item in items if len(item) >= 2])
    if not len(table):
        return float("nan")
    size, totals = table.sum(1, keepdims=True), table.sum(0)
    n = totals.sum()
    agreeing = (table * (table - 1) / (size - 1)).sum()
    expected = (totals * (totals - 1)).sum() / (n - 1)
    return float("nan") if expected >= n - 1e-9 else float(1 - (n - agreeing) / (n - expected))


def pairwise(items: Sequence[Sequence[Hashable]]) -> float:
    """Mean over items of the share of pairs of labels that are equal, 0..1; NaN if nothing is labelled twice."""
    table = counts([item for item in items if len(item) >= 2])
    if not len(table):
        return float("nan")
    size = table.sum(1)
    return float(((table * (table - 1)).sum(1) / (size * (size - 1))).mean())
