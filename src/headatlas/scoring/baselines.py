"""Baseline scorers, to compare other scorers with: norm, variance, and random scores.

None of them has a null, so the selectors `null` and `functional` select nothing from them; they are for rankings.
"""

from __future__ import annotations

import numpy as np

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, scorer


@scorer(
    "norm",
    title="the norm of z",
    label="Norm",
    description="The mean length of a head's z over a function's steps.",
    twin=False,
)
def norm(inputs: ScoringInputs) -> Scores:
    """Mean length of z over the steps of each function in split `inputs.on`."""
    return _mean_of("norm", inputs, np.linalg.norm(inputs.z(inputs.on), axis=-1))


@scorer(
    "variance",
    title="the variance of z",
    label="Variance",
    description="How far a head's z over a function's steps lies from its mean over all steps.",
    twin=False,
)
def variance(inputs: ScoringInputs) -> Scores:
    """Mean squared distance of z from its mean over all steps, over the steps of each function in split `inputs.on`."""
    z = inputs.z(inputs.on)
    return _mean_of("variance", inputs, ((z - z.mean(0)) ** 2).sum(-1))


@scorer(
    "random",
    title="random scores",
    label="Random",
    description="A random number for every head and function.",
    twin=False,
)
def random(inputs: ScoringInputs) -> Scores:
    """Uniform random numbers from `inputs.seed`."""
    _, layers, heads = inputs.z(inputs.on).shape[:3]
    return Scores("random", np.random.default_rng([inputs.seed, 7]).random((len(FUNCTIONS), layers, heads)))


def _mean_of(name: str, inputs: ScoringInputs, values: np.ndarray) -> Scores:
    row, function = np.nonzero(inputs.labels(inputs.on))
    samples = PerSample(values[row].astype(np.float64), function.astype(np.int64), row.astype(np.int64))
    absent = [one for i, one in enumerate(FUNCTIONS) if i not in set(function.tolist())]
    return Scores(name, samples.mean(), info={"absent": absent}, per_sample=samples)
