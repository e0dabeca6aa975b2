"""The scorer `specificity`: the loss of a function's steps when one head is ablated, beyond that of the scene's other steps.

    score[c, l, h] = mean over steps of c ( loss of the step - mean loss of other functions' steps in the same scene ), in nats

A head that every answer needs, for example for its form, is not specific to any function. The comparison is within scenes, so the
null flips the sign of every scene's difference. It needs the same answers as `ablation`; if both are run, they share one cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.intervention.operations import Means, mean_z
from headatlas.intervention.runner import Runner
from headatlas.scoring.ablation import N_NULL, Pool, SingleHeadDamage, sign_flip_p, sign_flips, single_head_damage
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, check_contrast, labels_of, scorer

LEAST = 0.05
"""Losses up to this many nats count as none."""


@scorer(
    "specificity",
    title="specific ablation",
    label="Specific ablation",
    description="How much more a function's steps lose than the other steps of the scene when one head alone is ablated.",
    unit="nats",
    least=LEAST,
    twin=False,
)
def specificity(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    means: Means | None = None,
    pool: Pool = "heads",
    scope: str = "all",
    batch_size: int = 32,
    runner: Runner | None = None,
) -> Scores:
    """Score every head by what a function's steps lose beyond other steps when it alone is ablated.

    Args:
        inputs: with `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation, means, pool, scope, batch_size, runner: as in the scorer `ablation`.

    Returns:
        Scores with p-values and per-step scores.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'specificity' runs the model; pass vlm= and data= to score()")
    check_contrast(inputs, "specificity", within_scene=True)
    if operation == "mean" and means is None:
        means = mean_z(inputs.activations, inputs.fit)
    run = runner or Runner(inputs.vlm, inputs.data, None, batch_size=batch_size)
    grid, tower = inputs.vlm.heads, inputs.tower
    damage = single_head_damage(
        run, grid.padded(tower)[:2], operation, means, inputs.on, scope, inputs.report, grid.heads(tower)
    )
    return replace(contrast(damage, inputs.n_null, inputs.seed, pool, LEAST), name="specificity")


def contrast(
    damage: SingleHeadDamage,
    n_null: int | None,
    seed: int,
    pool: Pool = "heads",
    least: float | Float[np.ndarray, "F 1 1"] = 0.0,
) -> Scores:
    """Scores, null and p of each function's losses less those of the other functions' steps in the same scene.

    Args:
        damage: what every step loses, in nats, with each head ablated.
        n_null: sign flips; None: `ablation.N_NULL`; 0: no null.
        seed: of the flips.
        pool: see `ablation.sign_flip_p`.
        least: difference that counts as none, of all functions or of each.

    Returns:
        Scores named "specificity". Steps of scenes that have no other function are left out.
    """
    repeats = N_NULL if n_null is None else n_null
    shape = (len(FUNCTIONS), *damage.logprob.shape[1:])
    values, pvalues, null = np.zeros(shape), np.ones(shape), np.zeros((repeats, *shape), np.float32)
    margins = np.broadcast_to(np.asarray(least, float), (shape[0], 1, 1))[:, 0, 0]
    rng = np.random.default_rng(seed)
    parts = differences(damage)
    for part in parts:
        c = part.function
        values[c] = part.values.mean(0)
        if repeats:
            totals, sizes = part.by_scene(margins[c])
            flips = sign_flips(totals, sizes, repeats, rng)
            null[:, c] = flips + margins[c]
            pvalues[c] = sign_flip_p(totals, sizes, flips, pool)
    seen = {part.function for part in parts}
    info: dict[str, Any] = {"n_null": repeats, "seconds": damage.seconds, "absent": []}
    info["absent"] = [name for i, name in enumerate(FUNCTIONS) if i not in seen]
    nothing = np.zeros(0, np.int64)
    sample = PerSample(
        np.concatenate([np.zeros((0, *shape[1:]), np.float32), *(part.values.astype(np.float32) for part in parts)]),
        np.concatenate([nothing, *(np.full(len(part.scene), part.function) for part in parts)]),
        np.concatenate([nothing, *(part.scene for part in parts)]),
    )
    return Scores("specificity", values, null if repeats else None, pvalues if repeats else None, info, {}, sample)


@dataclass(frozen=True)
class Differences:
    """What the steps of one function lose beyond the other steps of their scenes.

    Attributes:
        function: its number.
        values: nats, float64, one row per step.
        scene: the number of each step's scene.
    """

    function: int
    values: Float[np.ndarray, "n L H"]
    scene: Int[np.ndarray, " n"]

    def by_scene(self, margin: float = 0.0) -> tuple[Float[np.ndarray, "Q L H"], Int[np.ndarray, " Q"]]:
        """Each scene's sum of differences less `margin`, and its number of steps."""
        scenes, place = np.unique(self.scene, return_inverse=True)
        totals = np.zeros((len(scenes), *self.values.shape[1:]))
        np.add.at(totals, place, self.values - margin)
        return totals, np.bincount(place, minlength=len(scenes)).astype(np.int64)


def differences(damage: SingleHeadDamage) -> list[Differences]:
    """What every function's steps lose beyond the other steps of their scenes; steps of scenes without others are left out."""
    labels, scene, losses = labels_of(damage.steps), damage.clusters, damage.logprob
    n_scenes, found = int(scene.max()) + 1, []
    for c, of_function in enumerate(labels.T):
        other = ~of_function
        sums = np.zeros((n_scenes, *losses.shape[1:]))
        np.add.at(sums, scene[other], losses[other].astype(np.float64))
        counts = np.bincount(scene[other], minlength=n_scenes)
        rows = np.flatnonzero(of_function & (counts[scene] > 0))
        if len(rows):
            mean = sums[scene[rows]] / counts[scene[rows], None, None]
            found.append(Differences(c, losses[rows].astype(np.float64) - mean, scene[rows].astype(np.int64)))
    return found
