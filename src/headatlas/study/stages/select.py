"""Stage `select`: each function's heads, how sparse they are, how far they overlap, and how certain the counts are.

`counts.csv` is what claims C1 to C3 read. Everything in it is of the sets that the study's selector chose.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Bool

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.heads import HeadSet
from headatlas.results import RESULTS
from headatlas.scoring import SELECTORS, Scores, fewest_table, overlap_table, selection_table, sparsity_table
from headatlas.scoring.fewest import bootstrap_masks, thresholds
from headatlas.scoring.select import selected_masks
from headatlas.scoring.sparsity import jaccard
from headatlas.stats import WIDTH, half_width
from headatlas.study.stages.base import stage
from headatlas.study.stages.registered import codes
from headatlas.study.study import Study

N_BOOT = 1_000


@stage("select", needs=("score",), uses=lambda study: codes(SELECTORS, [study.settings.selector]))
def run(study: Study) -> None:
    """Write results/selection.csv, sparsity.csv, overlap.csv, counts.csv and fewest.csv."""
    chosen, seed = study.settings.selector, study.settings.seed
    names = ("selection", "sparsity", "overlap", "counts", "fewest")
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for done, scores in enumerate(study.atlas.scores.values(), 1):
        tables["selection"].append(selection_table(scores, tuple(dict.fromkeys((chosen, "null", "elbow", "top_k")))))
        tables["sparsity"].append(sparsity_table(scores, chosen))
        tables["overlap"].append(overlap_table(scores, chosen))
        fewest = RESULTS["fewest"].empty()
        if scores.per_sample is not None:
            fewest = fewest_table(scores, chosen, n_boot=N_BOOT, seed=seed)
            tables["fewest"].append(fewest)
        tables["counts"].append(counts_table(scores, fewest, seed, selector=chosen))
        study.report("select", done, len(study.atlas.scores))
    for name, parts in tables.items():
        filled = [part for part in parts if len(part)]
        study.run.write_table(name, pd.concat(filled, ignore_index=True) if filled else RESULTS[name].empty())


def counts_table(
    scores: Scores, fewest: pd.DataFrame, seed: int, n_boot: int = N_BOOT, selector: str = "null"
) -> pd.DataFrame:
    """Rows of results/counts.csv for one scorer; none if the selector chose no head at all.

    `share` (one row a function, 0..1), `spread` (heads) and `overlap` (chance-corrected Jaccard) are of the selected sets.
    Their intervals are 1.96 standard errors wide to each side: those of the sets above the selector's least accepted
    score, in resamples of the questions at equal class sizes. There is no interval with a single question, or without
    per-step scores to resample. `p` of overlap: one-sided and normal, that it is 1/2 or more.
    """
    samples = scores.per_sample
    chosen = selected_masks(scores, selector)
    if not chosen.any():  # a share of 0 is for want of evidence, not for sparseness
        return RESULTS["counts"].empty()
    several = samples is not None and len(np.unique(samples.cluster)) > 1
    draws = np.zeros((0, *chosen.shape), dtype=bool)
    if samples is not None and several:
        draws, _ = bootstrap_masks(samples, thresholds(scores, selector), n_boot, seed)
    shares = half_width(draws.mean((2, 3))) if len(draws) else np.full(len(FUNCTIONS), np.nan)
    pairs = (
        np.zeros(len(FUNCTIONS), int) if samples is None else np.bincount(samples.function, minlength=len(FUNCTIONS))
    )
    rows = []
    for index, function in enumerate(FUNCTIONS):
        n = int(pairs[index])
        if n or samples is None:  # a function without steps was not scored
            value = float(chosen[index].mean())
            low, high = np.clip([value - shares[index], value + shares[index]], 0, 1)
            rows.append(("share", function, value, low, high, np.nan, n))
    for what, statistic in (("spread", _spread), ("overlap", _overlap)):
        value = statistic(chosen)
        half = float(half_width(np.array([statistic(mask) for mask in draws]))) if len(draws) else np.nan
        # NaN stays NaN in np.clip, and would not in max() and min().
        low = np.clip(value - half, 0 if what == "spread" else None, None)
        high = np.clip(value + half, None, 1 if what == "overlap" else None)
        p = scipy.stats.norm.cdf((value - 0.5) / (half / WIDTH)) if what == "overlap" and half > 0 else np.nan
        rows.append((what, "", value, low, high, p, int(pairs.sum())))
    both = fewest[(fewest["spatial"] == "both") & (fewest["other"].fillna("") == "")]
    if len(both):
        row = both.iloc[0]
        rows.append(("spatial_minus_other", "", row["difference"], row["low"], row["high"], row["p"], int(row["n"])))
    table = pd.DataFrame(rows, columns=["what", "function", "value", "low", "high", "p", "n"])
    table.insert(0, "scorer", scores.name)
    return table


def _spread(mask: Bool[np.ndarray, "F L H"]) -> float:
    counts = mask.sum((1, 2))
    return float(counts.max() - counts.min())


def _overlap(mask: Bool[np.ndarray, "F L H"]) -> float:
    sets = [HeadSet.from_mask(one) for one in mask if one.any()]
    indices = [jaccard(a, b, mask[0].size)[1] for a, b in combinations(sets, 2)]
    known = [value for value in indices if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
