"""The scorer `attribution`: an estimate of what `ablation` measures, from gradients, for all heads at once.

The score is that of `ablation` (mean fall of the gold answer's log-probability, nats, on split S, z replaced by its mean
over P), estimated in a few passes (`engine.attribution`); null and p-values are computed in the same way. Where both scorers
are run, `results/agreement.csv` has the rank correlation of the estimate with the exact score.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from headatlas.engine.attribution import attributed_losses
from headatlas.errors import HeadAtlasError
from headatlas.intervention.operations import Means, mean_tokens, mean_z
from headatlas.scoring.ablation import Pool, SingleHeadDamage, scores_of
from headatlas.scoring.base import Scores, ScoringInputs, scorer
from headatlas.vlm.chat import conversations
from headatlas.vlm.evaluate import evaluate


@scorer(
    "attribution",
    title="attribution patching",
    label="Attribution patching",
    description="An estimate, from gradients, of how much a function's steps lose when one head alone is ablated.",
    unit="nats",
    twin=False,
)
def attribution(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    means: Means | None = None,
    margin: float | None = None,
    pool: Pool = "heads",
    scope: str = "all",
    steps: int = 1,
    reach: float = 1.0,
    batch_size: int = 16,
) -> Scores:
    """Score every head by the estimated loss of each function's steps when it alone is ablated.

    Args:
        inputs: with `vlm` and `data`.
        operation: `mean` or `zero`.
        means, margin, pool, scope: as in `ablation`.
        steps, reach: points of the path, see `engine.attribution.attributed_losses`.
        batch_size: questions per batch.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing, or another operation.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'attribution' runs the model; pass vlm= and data= to score()")
    if operation not in ("mean", "zero"):
        raise HeadAtlasError(f"operation must be 'mean' or 'zero', got {operation!r}")
    tokens = "given"
    if operation == "mean" and means is None:
        tokens, means = mean_tokens(inputs.activations), mean_z(inputs.activations, inputs.fit)
    started = time.perf_counter()
    questions = inputs.data.split(inputs.on)
    table = evaluate(inputs.vlm, questions, batch_size=batch_size)
    chats = conversations(questions)
    goal = means if operation == "mean" else None
    losses = attributed_losses(inputs.vlm, chats, goal, scope, steps, reach, batch_size, inputs.report)
    damage = SingleHeadDamage(table, losses, np.zeros_like(losses), time.perf_counter() - started)
    scores = scores_of(damage, "logprob", margin, pool, inputs.n_null, inputs.seed)
    info = {
        **scores.info,
        "operation": operation,
        "scope": scope,
        "steps": steps,
        "reach": reach,
        "mean_tokens": tokens,
    }
    return replace(scores, name="attribution", info=info)
