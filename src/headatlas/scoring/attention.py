"""A5: which heads look at the thing that a step asks about, where its answer is predicted.

    gaze[c, l, h] = mean over steps of c ( attention on the patches of the step's boxes
                                           - the same for equally large boxes at random places )

on split S, in gold context, at the position that predicts the answer. Only steps with boxes count. A head must beat two nulls:
boxes of equal size at random places of the same picture, and the boxes of other questions; the second tells heads apart that look
at the same place in every picture (sinks). Both are tested by turning the sign of a question's differences; p is the larger one.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from headatlas.activations.attention import SUMMARIES, AttentionSummaries, attention, mean_of_known
from headatlas.errors import HeadAtlasError
from headatlas.scoring.ablation import N_NULL, SingleHeadDamage, scores_of
from headatlas.scoring.base import Scores, ScoringInputs, labels_of, scorer

MARGIN = 0.05
"""A share of attention that still counts as none."""


@scorer(
    "attention",
    title="gaze at what is asked about",
    label="Attention",
    unit="share of attention",
)
def attention_scorer(
    inputs: ScoringInputs,
    *,
    at: str = "last",
    margin: float = MARGIN,
    summaries: AttentionSummaries | None = None,
    cache_dir: str | Path | None = None,
    batch_size: int = 16,
) -> Scores:
    """Attention on the boxes of a step beyond equally large random boxes, where the answer is predicted.

    Args:
        inputs: needs `vlm` and `data`, whose steps have boxes.
        at: query positions, see `activations.attention.At`.
        margin: gaze that still counts as none.
        summaries: of the split scored, used instead of running the model.
        cache_dir: where summaries are kept, so that a killed run goes on; by default a temporary folder.
        batch_size: questions a batch.

    Returns:
        Scores. `arrays` has the mean of every summary (`activations.attention.SUMMARIES`) and `selectivity` (the share of a
        head's image mass that is on the boxes), `[F, L, H]`; `info["absent"]` names functions without a step that has boxes.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing, or no step has boxes.
    """
    started = time.perf_counter()
    if summaries is None:
        if inputs.vlm is None or inputs.data is None:
            raise HeadAtlasError("scorer 'attention' runs the model; pass vlm= and data= to score()")
        questions = inputs.data.split(inputs.on)

        def told(what: str, done: int, total: int) -> None:
            inputs.report(what, done, total)

        with tempfile.TemporaryDirectory() as folder:
            out = Path(cache_dir or folder) / f"attention-{inputs.on}-{at}"
            summaries = attention(
                inputs.vlm, questions, at, out=out, batch_size=batch_size, seed=inputs.seed, progress=told
            )
            read = {name: summaries[name] for name in SUMMARIES}
    else:
        read = {name: summaries[name] for name in SUMMARIES}
    boxed = ~np.isnan(read["target"][:, 0, 0])
    if not boxed.any():
        raise HeadAtlasError("scorer 'attention' needs steps with boxes; none of the split scored has any")
    steps = summaries.steps[boxed].reset_index(drop=True)
    read = {name: values[boxed] for name, values in read.items()}
    gaze = read["target"] - read["random"]
    scores = scores_of(_as_damage(steps, gaze), "logprob", margin, "heads", inputs.n_null, inputs.seed)
    pvalues = scores.pvalues
    known = ~np.isnan(read["foreign"][:, 0, 0])
    if pvalues is not None and known.any():
        beyond = _as_damage(steps[known].reset_index(drop=True), (read["target"] - read["foreign"])[known])
        other = scores_of(beyond, "logprob", margin, "heads", inputs.n_null, inputs.seed + 1).pvalues
        assert other is not None
        pvalues = np.maximum(pvalues, other)
    labels = labels_of(steps)
    arrays = {name: _means(values, labels) for name, values in read.items()}
    arrays["selectivity"] = arrays["target"] / np.maximum(arrays["image"], 1e-9)
    info = {
        "unit": "share of attention", "at": at, "margin": margin, "steps": int(boxed.sum()), "n_null": N_NULL,
        "absent": [name for i, name in enumerate(inputs.functions) if not labels[:, i].any()],
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    return Scores("attention", scores.values, scores.null, pvalues, info, scores.arrays | arrays, scores.per_sample)


def _as_damage(steps: pd.DataFrame, values: np.ndarray) -> SingleHeadDamage:
    return SingleHeadDamage(steps, values.astype(np.float32), np.zeros_like(values, np.float32))


def _means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of `[N, L, H]` over the steps of each function, leaving out NaN; NaN for a function without any."""
    out = np.full((labels.shape[1], *values.shape[1:]), np.nan)
    for c in range(labels.shape[1]):
        out[c] = mean_of_known(values[labels[:, c]])
    return out
