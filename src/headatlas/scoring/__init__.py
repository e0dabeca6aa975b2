"""Score heads for functions: scorers, null distributions, selectors, sparsity and the atlas.

`score(acts, scorer=...)` returns an `Atlas`. A new scorer is a function with `@scorer("name")`, a new selector one with
`@selector("name")`: in a new file here, or in another package.
"""

from headatlas.scoring.agreement import agreement
from headatlas.scoring.atlas import Atlas, score
from headatlas.scoring.base import (
    SCORERS,
    ActivationsLike,
    PerSample,
    Scorer,
    Scores,
    ScoringInputs,
    get_scorer,
    labels_of,
    scorer,
    scorers,
)
from headatlas.scoring.counts import counts_table
from headatlas.scoring.fewest import fewest_table
from headatlas.scoring.head_sweep import HeadSweep, head_sweep
from headatlas.scoring.null import permuted_labels, pooled_p
from headatlas.scoring.paper import probe_accuracy
from headatlas.scoring.select import SELECTORS, select, selector, selectors
from headatlas.scoring.sparsity import overlap_table, selection_table, sparsity_table

__all__ = [
    "SCORERS",
    "SELECTORS",
    "ActivationsLike",
    "Atlas",
    "HeadSweep",
    "PerSample",
    "Scorer",
    "Scores",
    "ScoringInputs",
    "agreement",
    "counts_table",
    "fewest_table",
    "get_scorer",
    "head_sweep",
    "labels_of",
    "overlap_table",
    "permuted_labels",
    "pooled_p",
    "probe_accuracy",
    "score",
    "scorer",
    "scorers",
    "select",
    "selection_table",
    "selector",
    "selectors",
    "sparsity_table",
]
