"""Numbers of heads of spatial functions compared with those of others, in resamples at equal numbers of steps.

Selection is done again in each resample (`resample.py`). Counts of noisy means are too high, by the same noise for all functions:
read the differences, not the counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.results import RESULTS
from headatlas.scoring.base import Scores
from headatlas.scoring.resample import bootstrap_masks, counts_of, limits, samples_of


def fewest_table(
    scores: Scores, limit: Float[np.ndarray, " F"] | None = None, n_boot: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Heads of each spatial function and of their mean, minus those of every other function and of the others' mean.

    Args:
        scores: with per-step scores.
        limit: what a head's lower bound must exceed, by function; None: `resample.limits`.
        n_boot, seed: of the resamples.

    Returns:
        Rows of results/fewest.csv: `difference` is the mean over resamples, `p` is one-sided, that spatial heads are not
        fewer: (1 + #{difference >= 0}) / (B + 1). Functions without a head in most resamples are left out: finding none is
        lack of evidence and says nothing about how many there are. No rows if that leaves no function of either kind, and none
        with `both` if it leaves one spatial function.

    Raises:
        HeadAtlasError: the scores have no `per_sample`, or hold steps of only spatial or only other functions.
    """
    drawn = bootstrap_masks(samples_of(scores), limits(scores) if limit is None else limit, n_boot, seed)
    counts = counts_of(drawn)
    there = {name for c, name in enumerate(FUNCTIONS) if drawn.present[c]}
    if not there & set(SPATIAL) or not there - set(SPATIAL):
        raise HeadAtlasError(
            "steps of a spatial function and of another one are needed to compare their heads, from two scenes or more; got "
            "those of one kind only"
        )
    column = {name: counts[:, c] for c, name in enumerate(FUNCTIONS) if name in there and np.median(counts[:, c]) > 0}
    spatial = {name: column[name] for name in SPATIAL if name in column}
    others = {name: values for name, values in column.items() if name not in SPATIAL}
    if not spatial or not others:
        return RESULTS["fewest"].empty()
    if len(spatial) > 1:
        spatial["both"] = np.mean(list(spatial.values()), axis=0)
    others[""] = np.mean(list(others.values()), axis=0)
    rows = []
    for name, ours in spatial.items():
        for other, theirs in others.items():
            draws = ours - theirs
            low, high = np.quantile(draws, [0.025, 0.975])
            low, high = (
                min(low, draws.mean()),
                max(high, draws.mean()),
            )  # the mean can lie outside the quantiles if few resamples differ
            p = (1 + (draws >= 0).sum()) / (len(draws) + 1)
            rows.append((scores.name, name, other, draws.mean(), low, high, p, drawn.steps))
    return pd.DataFrame(rows, columns=list(RESULTS["fewest"].names))
