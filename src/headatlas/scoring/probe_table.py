"""How well the paper's probe predicts functions, compared with control labels and with the text: `results/probe.csv`.

A probe can be accurate without any information from heads, if a step's text already shows its function. Its accuracy is therefore
reported beside that of probes fitted on control labels and that of the text alone (Hewitt & Liang 2019).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from headatlas.answers.metrics import scenes_of
from headatlas.results import RESULTS
from headatlas.scoring.auc import weighted_auc
from headatlas.scoring.base import ScoringInputs
from headatlas.scoring.confounds import text_only_scores
from headatlas.scoring.null import QUESTIONS, Within, permuted_labels

N_BOOT = 1_000
_AUC_BOOT = 200


def probe_rows(
    inputs: ScoringInputs,
    split: str,
    logits: Float[np.ndarray, "R N F"],
    true: int,
    within: Within = QUESTIONS,
) -> pd.DataFrame:
    """Accuracy and AUC (0..1) on one split; `logits[:true]` are of probes fitted to the labels, the rest to control
    labels.

    A step counts as right if the highest logit is one of its functions. `control`: probes fitted on permuted labels,
    compared with labels permuted in the same strata. `text_only`: logistic regression on step text, answer and step index,
    fitted on P. Averages over probes; 95 % intervals by bootstrap over scenes.
    """
    steps, labels = inputs.steps(split), inputs.labels(split)
    weights = scene_weights(scenes_of(steps), N_BOOT, np.random.default_rng(inputs.seed))
    text = text_only_scores(inputs.steps(inputs.fit), inputs.labels(inputs.fit), steps)
    rng = np.random.default_rng(inputs.seed + 2)
    permuted = permuted_labels(labels, steps, len(logits) - true, rng, within)
    targets = {
        "true": [(one, labels) for one in logits[:true]],
        "control": list(zip(logits[true:], permuted, strict=True)),
        "text_only": [(text, labels)],
    }
    several = len(set(scenes_of(steps))) > 1
    rows = []
    for target, pairs in targets.items():
        if not pairs:
            continue
        right = np.mean([_right(one, truth) for one, truth in pairs], axis=0)
        draws = weights @ right / weights.sum(1)
        rows.append((target, "accuracy", "", right.mean(), *_bounds(draws, several), len(steps)))
        areas = []
        for c, name in enumerate(inputs.functions):
            if not labels[:, c].any() or labels[:, c].all():
                continue
            # A few control probes are enough for the mean, and take only seconds.
            area = np.mean([_areas(one[:, c], truth[:, c], weights[:_AUC_BOOT]) for one, truth in pairs[:5]], axis=0)
            areas.append(area)
            rows.append((target, "auc", name, area[0], *_bounds(area[1:], several), int(labels[:, c].sum())))
        if areas:
            mean = np.mean(areas, axis=0)
            rows.append((target, "auc", "", mean[0], *_bounds(mean[1:], several), len(steps)))
    table = pd.DataFrame(rows, columns=["target", "measure", "function", "value", "low", "high", "n"])
    table.insert(0, "split", split)
    table.insert(0, "scorer", "paper")
    return table[list(RESULTS["probe"].names)].astype({"value": float, "low": float, "high": float, "n": int})


def _areas(
    scores: Float[np.ndarray, " N"], labels: Bool[np.ndarray, " N"], weights: Float[np.ndarray, "B N"]
) -> Float[np.ndarray, " B1"]:
    """AUC of all steps, then that of every resample; NaN for a resample without one of the two classes."""
    every = np.concatenate([np.ones((1, len(scores))), weights])
    both = (every[:, labels].sum(1) > 0) & (every[:, ~labels].sum(1) > 0)
    return np.where(both, weighted_auc(scores, labels, every), np.nan)


def _bounds(draws: Float[np.ndarray, " B"], several: bool) -> tuple[float, float]:
    """The 95 % percentile interval over resamples; NaN with a single scene."""
    known = draws[np.isfinite(draws)]
    if not several or not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def scene_weights(scenes: np.ndarray, n_boot: int, rng: np.random.Generator) -> Float[np.ndarray, "B N"]:
    """Weight of every step in each bootstrap resample of whole scenes."""
    number = np.unique(scenes, return_inverse=True)[1]
    count = int(number.max()) + 1
    return rng.multinomial(count, np.full(count, 1 / count), size=n_boot)[:, number].astype(np.float64)


def _right(logits: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N F"]) -> Float[np.ndarray, " N"]:
    return labels[np.arange(len(labels)), logits.argmax(1)].astype(np.float64)
