"""The scorer `attention` (A5): which heads look at the thing that a step asks about, where its answer is predicted.

    gaze[c, l, h] = mean over steps of c ( attention on the patches of the step's boxes
                                           - the same for equally large boxes at random places )

on split S, in gold context, at the position that predicts the answer. Only steps with boxes count, and image tokens that are
sinks count in neither term. A head must beat three nulls: boxes of equal size at random places of the same picture; the boxes
of other questions, which heads that look at one place in every picture do not beat; and the largest gaze of any head of the
untrained twin. The first two are tested by flipping the sign of a question's differences; p is the larger one.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headatlas.activations.attention import AttentionSummaries, attention, mean_of_known
from headatlas.activations.row_summary import SUMMARIES
from headatlas.cluster import Workers
from headatlas.errors import HeadAtlasError
from headatlas.folder import Folder
from headatlas.scoring.ablation import N_NULL, SingleHeadDamage, scores_of
from headatlas.scoring.base import Scores, ScoringInputs, UnscorableError, labels_of, scorer
from headatlas.vlm.image_tokens import check_placed
from headatlas.vlm.twin import untrained_twin

MARGIN = 0.05
"""A share of attention up to which gaze counts as none."""

TWIN_PARAMETERS = 1_000_000_000
"""Larger models are scored without a twin, which would need their memory again."""


@scorer(
    "attention",
    title="gaze at what is asked about",
    label="Attention (A5)",
    unit="share of attention",
    least=MARGIN,
    twin=False,  # the scorer scores the twin itself, at the same queries
)
def attention_scorer(
    inputs: ScoringInputs,
    *,
    queries: str = "last",
    margin: float = MARGIN,
    summaries: AttentionSummaries | None = None,
    twin: AttentionSummaries | bool = True,
    cache_dir: str | Path | Folder | None = None,
    batch_size: int = 16,
    workers: Workers | None = None,
) -> Scores:
    """Attention on the boxes of a step beyond equally large random boxes, where the answer is predicted.

    Args:
        inputs: needs `vlm` and `data`, whose steps have boxes.
        queries: see `activations.attention.QueryPositions`.
        margin: gaze up to this value counts as none.
        summaries: of the split scored, used instead of running the model.
        twin: summaries of the untrained twin; True: made here, for models of up to `TWIN_PARAMETERS`; False: no such null.
        cache_dir: where summaries are stored, so that a killed run continues; by default a temporary folder.
        batch_size: questions per batch.
        workers: see `activations.attention`.

    Returns:
        Scores. `arrays` has the mean of every summary (`activations.row_summary.SUMMARIES`) and `selectivity` (the share of a
        head's image mass that is on the boxes), `[F, L, H]`, and `twin`, the largest gaze of a twin's head, `[F]`;
        `info["absent"]` names functions without a step that has boxes.

    Raises:
        UnscorableError: no step has boxes, or image tokens have no known place in the picture.
        HeadAtlasError: `vlm` or `data` is missing.
    """
    inputs.only_language("attention")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Folder.of(temporary if cache_dir is None else cache_dir)

        def made(vlm: Any, name: str) -> AttentionSummaries:
            return attention(
                vlm, inputs.data.split(inputs.on), queries, out=folder.at(name).where, batch_size=batch_size, seed=inputs.seed,
                progress=inputs.report, workers=workers if vlm is inputs.vlm else None,
            )  # type: ignore[arg-type]  # fmt: skip

        if summaries is None:
            _check(inputs)
            summaries = made(inputs.vlm, f"attention-{inputs.on}-{queries}")
            if twin is True and sum(weight.numel() for weight in inputs.vlm.model.parameters()) <= TWIN_PARAMETERS:
                twin = made(untrained_twin(inputs.vlm, inputs.seed), f"attention-{inputs.on}-{queries}-twin")
        read = {name: summaries[name] for name in SUMMARIES}
        of_twin = {name: twin[name] for name in ("target", "random")} if isinstance(twin, AttentionSummaries) else None
    boxed = (~np.isnan(read["target"])).any((1, 2))
    if not boxed.any():
        raise UnscorableError("scorer 'attention' needs steps with boxes; none of the split scored has any")
    steps = summaries.steps[boxed].reset_index(drop=True)
    read = {name: values[boxed] for name, values in read.items()}
    gaze = read["target"] - read["random"]
    scores = scores_of(_as_damage(steps, gaze), "logprob", margin, "heads", inputs.n_null, inputs.seed)
    pvalues = scores.pvalues
    known = (~np.isnan(read["foreign"])).any((1, 2))
    if pvalues is not None and known.any():
        beyond = _as_damage(steps[known].reset_index(drop=True), (read["target"] - read["foreign"])[known])
        other = scores_of(beyond, "logprob", margin, "heads", inputs.n_null, inputs.seed + 1).pvalues
        assert other is not None
        pvalues = np.maximum(pvalues, other)
    labels = labels_of(steps)
    arrays = {name: _means(values, labels) for name, values in read.items()}
    arrays["selectivity"] = arrays["target"] / np.maximum(arrays["image"], 1e-9)
    if of_twin is not None:
        means = _means((of_twin["target"] - of_twin["random"])[boxed], labels)
        arrays["twin"] = np.nan_to_num(means, nan=0.0).max((1, 2))
        if pvalues is not None:
            pvalues = np.where(scores.values > arrays["twin"][:, None, None], pvalues, 1.0)
    info = {
        "unit": "share of attention", "queries": queries, "margin": margin, "steps": int(boxed.sum()), "n_null": N_NULL,
        "twin": of_twin is not None,
        "absent": [name for i, name in enumerate(inputs.functions) if not labels[:, i].any()],
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    return Scores("attention", scores.values, scores.null, pvalues, info, scores.arrays | arrays, scores.per_sample)


def _check(inputs: ScoringInputs) -> None:
    """Raise before the model runs."""
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'attention' runs the model; pass vlm= and data= to score()")
    if not any(step.boxes for question in inputs.data.split(inputs.on) for step in question.steps):
        raise UnscorableError(f"no step of split {inputs.on} has boxes, so what heads should look at is not known")
    try:
        check_placed(inputs.vlm)
    except HeadAtlasError as error:
        raise UnscorableError(str(error)) from error


def _as_damage(steps: pd.DataFrame, values: np.ndarray) -> SingleHeadDamage:
    return SingleHeadDamage(steps, values.astype(np.float32), np.zeros_like(values, np.float32))


def _means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of `[N, L, H]` over the steps of each function, leaving out NaN; NaN for a function without any."""
    out = np.full((labels.shape[1], *values.shape[1:]), np.nan)
    for c in range(labels.shape[1]):
        out[c] = mean_of_known(values[labels[:, c]])
    return out
