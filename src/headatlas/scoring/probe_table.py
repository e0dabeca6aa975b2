"""How well the paper's probe predicts functions, beside control labels and beside the text alone: `results/probe.csv`.

Knows logits and tables, not how the probe was fitted. A probe that is right says nothing about heads if the surface of
the step gives its function away: so its accuracy is never told without the two others (Hewitt & Liang 2019; method.md
a).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.scoring.auc import weighted_auc
from headatlas.scoring.base import ScoringInputs
from headatlas.scoring.confounds import text_only_scores
from headatlas.scoring.null import STRATA, permuted_labels, strata

COLUMNS = ("scorer", "split", "target", "measure", "function", "value", "low", "high", "n")
N_BOOT = 1_000
_AUC_BOOT = 200


def probe_rows(
    inputs: ScoringInputs,
    split: str,
    logits: Float[np.ndarray, "R N F"],
    true: int,
    within: Sequence[str] = STRATA,
) -> pd.DataFrame:
    """Accuracy and AUC (0..1) on one split; `logits[:true]` are of probes fitted to the labels, the rest to control
    labels.

    A step counts as right when the highest logit is one of its functions. `control`: probes fitted on permuted labels,
    against labels permuted in the same strata. `text_only`: logistic regression on step text, answer and step index,
    fitted on P. Averages over probes; 95 % intervals by bootstrap over main questions.
    """
    steps, labels = inputs.steps(split), inputs.labels(split)
    weights = question_weights(steps["question"].to_numpy(), N_BOOT, np.random.default_rng(inputs.seed))
    text = text_only_scores(inputs.steps(inputs.fit), inputs.labels(inputs.fit), steps)
    rng = np.random.default_rng(inputs.seed + 2)
    permuted = permuted_labels(labels, strata(steps, within), len(logits) - true, rng)
    targets = {
        "true": [(one, labels) for one in logits[:true]],
        "control": list(zip(logits[true:], permuted, strict=True)),
        "text_only": [(text, labels)],
    }
    rows = []
    for target, pairs in targets.items():
        if not pairs:
            continue
        right = np.mean([_right(one, truth) for one, truth in pairs], axis=0)
        draws = weights @ right / weights.sum(1)
        rows.append((target, "accuracy", "", right.mean(), *np.quantile(draws, [0.025, 0.975]), len(steps)))
        areas = []
        for c, name in enumerate(inputs.functions):
            if not labels[:, c].any() or labels[:, c].all():
                continue
            both = np.concatenate([np.ones((1, len(steps))), weights[:_AUC_BOOT]])
            # A few control probes are enough for the mean, and keep this in seconds.
            area = np.mean([weighted_auc(one[:, c], truth[:, c], both) for one, truth in pairs[:5]], axis=0)
            areas.append(area)
            low, high = np.quantile(area[1:], [0.025, 0.975])
            rows.append((target, "auc", name, area[0], low, high, int(labels[:, c].sum())))
        if areas:
            mean = np.mean(areas, axis=0)
            rows.append((target, "auc", "", mean[0], *np.quantile(mean[1:], [0.025, 0.975]), len(steps)))
    table = pd.DataFrame(rows, columns=["target", "measure", "function", "value", "low", "high", "n"])
    table.insert(0, "split", split)
    table.insert(0, "scorer", "paper")
    return table[list(COLUMNS)].astype({"value": float, "low": float, "high": float, "n": int})


def question_weights(question: np.ndarray, n_boot: int, rng: np.random.Generator) -> Float[np.ndarray, "B N"]:
    """Weight of every step in each bootstrap resample of whole questions."""
    number = np.unique(question, return_inverse=True)[1]
    count = int(number.max()) + 1
    return rng.multinomial(count, np.full(count, 1 / count), size=n_boot)[:, number].astype(np.float64)


def _right(logits: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N F"]) -> Float[np.ndarray, " N"]:
    return labels[np.arange(len(labels)), logits.argmax(1)].astype(np.float64)
