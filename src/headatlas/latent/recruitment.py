"""What activation does to the heads: how they are scored before and after, by the same scorers, nulls and selector.

The paper's Figure 4 shows more spatial heads after activation. Here the model with a recipe in its weights is scored as the
original was: by exact ablation (what a function loses without each head), by attention (how far a head gazes at what is asked
about), and by the linear probe. The last row of each head is the *frozen probe*: fitted on z of the original model and read on z
of the changed one, so that it rises only if the head encodes more in the same way as before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from headatlas.activations import capture
from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL
from headatlas.errors import HeadAtlasError
from headatlas.progress import Progress
from headatlas.results import RESULTS
from headatlas.scoring import Scores, ScoringInputs, get_scorer, select
from headatlas.scoring.auc import auc_columns
from headatlas.scoring.base import ActivationsLike, UnscorableError
from headatlas.scoring.functional import TWIN
from headatlas.scoring.linear import Ridge
from headatlas.vlm import VLM, load_vlm
from headatlas.vlm.recipe import HeadRecipe

FROZEN = "frozen_probe"
"""Name of the frozen probe in the column `scorer`."""
RIDGE = 0.1
"""Of the frozen probe, in units of the mean variance of a head's z."""


def recruitment(
    vlm: VLM,
    data: Any,
    recipe: HeadRecipe,
    activations: ActivationsLike,
    before: Mapping[str, Scores],
    *,
    tokens: str = "predict",
    selector: str = "functional",
    functions: Sequence[str] = SPATIAL,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score the model with a recipe in its weights, and compare.

    Args:
        vlm: the original model.
        data: its questions; splits P and S are used.
        recipe: one that can be merged into weights.
        activations: of the original model.
        before: scores of the original model by scorer; these scorers are run again.
        tokens: the selection of tokens that probes read.
        selector: the selector that chooses heads.
        functions: which functions.
        seed: of nulls.
        progress: see `headatlas.progress`.

    Returns:
        Rows of results/recruitment.csv.

    Raises:
        HeadAtlasError: the recipe is not a change of weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        recipe.merge(vlm, Path(folder) / "merged")
        changed = load_vlm(str(Path(folder) / "merged"), device=str(vlm.device), dtype=vlm.dtype)
    acts = capture(changed, [*data.split("P"), *data.split("S")], tuple(dict.fromkeys((tokens, "all"))))
    inputs = ScoringInputs(acts, tokens, vlm=changed, data=data, seed=seed, progress=progress)
    rows = []
    for name, was in before.items():
        try:
            now = get_scorer(name)(inputs)
        except UnscorableError:
            continue
        if TWIN in was.arrays and TWIN not in now.arrays:  # the same configuration has the same untrained twin
            now = replace(now, arrays=now.arrays | {TWIN: was.arrays[TWIN]})
        for function in functions:
            c = FUNCTIONS.index(function)
            found = [select(scores, function, selector).mask(scores.shape) for scores in (was, now)]
            rows += _rows(recipe.method, name, function, was.values[c], now.values[c], *found)
    none = np.zeros(vlm.heads.shape, bool)
    for function in functions:
        reads = frozen_probe(activations, acts, tokens, function)
        if reads is not None:
            rows += _rows(recipe.method, FROZEN, function, *reads, none, none)
    return pd.DataFrame(rows, columns=list(RESULTS["recruitment"].names))


def _rows(method: str, scorer: str, function: str, *grids: np.ndarray) -> list[tuple[Any, ...]]:
    layers, heads = grids[0].shape
    return [
        (method, scorer, function, layer, head, *(grid[layer, head] for grid in grids))
        for layer in range(layers)
        for head in range(heads)
    ]


def frozen_probe(
    before: ActivationsLike, after: ActivationsLike, tokens: str, function: str
) -> tuple[Float[np.ndarray, "L H"], Float[np.ndarray, "L H"]] | None:
    """AUC on split S of linear probes of a function that were fitted on z of split P before, read before and after.

    None where a split lacks steps with or without the function.
    """
    old, new = (ScoringInputs(acts, tokens) for acts in (before, after))
    c = FUNCTIONS.index(function)
    labels, on = old.labels("P")[:, [c]], old.labels("S")[:, [c]]
    if not (0 < labels.sum() < len(labels) and 0 < on.sum() < len(on)):
        return None
    steps = [inputs.steps("S")[["question", "step"]].to_numpy().tolist() for inputs in (old, new)]
    if steps[0] != steps[1]:
        raise HeadAtlasError("activations before and after must be of the same steps of split S")
    shape = old.z("S").shape[1:3]
    probe = Ridge(_by_head(old.z("P")), RIDGE)
    areas = [
        auc_columns(probe.predict(_by_head(inputs.z("S")), torch.as_tensor(labels)), torch.as_tensor(on)).numpy()
        for inputs in (old, new)
    ]
    return areas[0][:, 0].reshape(shape), areas[1][:, 0].reshape(shape)


def _by_head(z: np.ndarray) -> torch.Tensor:
    n, layers, heads, size = z.shape
    return torch.from_numpy(np.ascontiguousarray(z)).reshape(n, layers * heads, size).transpose(0, 1).contiguous()
