"""The scorer `ablation` (A3): what each function's steps lose when one head alone is ablated, measured exactly.

    score[c, l, h] = mean over steps of c ( log p(gold answer) of the model - the same with head (l, h) ablated ), in nats

or the fall in accuracy (`measure="accuracy"`), on split S, in gold context. Ablation puts the head's mean z over split P
at all positions; zero and scale are options. The null flips the sign of every scene's losses at random, the same for
all heads: it tests whether losses lie above `margin` rather than evenly around it. Answers are cached head by head, so
that a scan that was killed resumes where it stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, Heads, HeadSet, as_heads
from headatlas.intervention.condition import Condition
from headatlas.intervention.effects import check_paired
from headatlas.intervention.operations import Means, ablate, mean_tokens, mean_z
from headatlas.intervention.runner import Runner
from headatlas.progress import Progress
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, labels_of, scorer

Measure = Literal["logprob", "accuracy"]
Pool = Literal["heads", "max", "none"]

N_NULL = 500
MARGIN = {"logprob": 0.05, "accuracy": 0.02}
"""Losses up to this value count as none; in nats, or as a share of steps. Removing any head changes a trained model a little, so
a test against 0 would find more heads the more questions there are."""


@dataclass(frozen=True, repr=False)
class SingleHeadDamage:
    """The loss of every step with each head ablated alone; positive values are losses.

    Attributes:
        steps: the unedited model's answers table, one row per step.
        logprob: fall of the gold answer's log-probability, nats.
        correct: 1 if right became wrong, -1 if wrong became right, 0 otherwise.
        seconds: time of the scan; cached heads take almost none.
    """

    steps: pd.DataFrame
    logprob: Float32[np.ndarray, "N L H"]
    correct: Float32[np.ndarray, "N L H"]
    seconds: float = 0.0

    def __repr__(self) -> str:
        n, layers, heads = self.logprob.shape
        mean = self.logprob.mean(0, dtype=np.float64)
        layer, head = np.unravel_index(mean.argmax(), mean.shape)
        return (
            f"SingleHeadDamage: {n} steps x {layers} layers x {heads} heads; largest mean loss {mean.max():.3g} nats by "
            f"L{layer}.H{head}"
        )

    def of(self, measure: Measure) -> Float32[np.ndarray, "N L H"]:
        """The losses of a measure."""
        if measure not in ("logprob", "accuracy"):
            raise HeadAtlasError(f"measure must be 'logprob' or 'accuracy', got {measure!r}")
        return self.logprob if measure == "logprob" else self.correct

    @property
    def clusters(self) -> Int[np.ndarray, " N"]:
        """Number of each step's scene, 0..Q-1 in order of appearance."""
        return pd.factorize(scenes_of(self.steps))[0].astype(np.int64)

    def scene_sums(
        self, rows: Bool[np.ndarray, " N"], measure: Measure = "logprob", margin: float = 0.0
    ) -> tuple[Float[np.ndarray, "Q L H"], Int[np.ndarray, " Q"]]:
        """Losses above `margin` summed over the chosen steps of each scene, and how many steps those are."""
        values, clusters = self.of(measure)[rows].astype(np.float64) - margin, self.clusters[rows]
        unique, place = np.unique(clusters, return_inverse=True)
        sums = np.zeros((len(unique), *values.shape[1:]))
        np.add.at(sums, place, values)
        return sums, np.bincount(place, minlength=len(unique)).astype(np.int64)

    def intervals(
        self, rows: Bool[np.ndarray, " N"], measure: Measure = "logprob", n_boot: int = 2_000, seed: int = 0
    ) -> tuple[Float[np.ndarray, "L H"], Float[np.ndarray, "L H"]]:
        """95 % cluster-bootstrap bounds of the mean loss of every head, whole scenes are resampled; NaN for a single scene."""
        sums, sizes = self.scene_sums(rows, measure)
        if len(sizes) < 2:
            nothing = np.full(sums.shape[1:], np.nan)
            return nothing, nothing
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=n_boot)
        means = np.tensordot(draws, sums, axes=1) / (draws @ sizes)[:, None, None]
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        return low, high

    def save(self, path: str | Path) -> None:
        """Write the losses to `path`, a compressed .npz, and the steps to a Parquet file of the same stem."""
        path = Path(path)
        np.savez_compressed(path, logprob=self.logprob, correct=self.correct, seconds=np.float64(self.seconds))
        self.steps.to_parquet(path.with_suffix(".parquet"))

    @classmethod
    def load(cls, path: str | Path) -> SingleHeadDamage:
        """Read what `save` wrote."""
        path = Path(path)
        with np.load(path, allow_pickle=False) as kept:
            steps = pd.read_parquet(path.with_suffix(".parquet"))
            return cls(steps, kept["logprob"], kept["correct"], float(kept["seconds"]))


def single_head_damage(
    runner: Runner,
    shape: tuple[int, int],
    operation: str = "mean",
    means: Means | None = None,
    split: str = "S",
    scope: str = "all",
    progress: Progress | None = None,
    heads: Heads | None = None,
) -> SingleHeadDamage:
    """Ablate every head of a tower alone and measure what each step of `split` loses.

    Args:
        runner: Evaluates conditions, cached; forced mode, so that log-probabilities are of the gold answer.
        shape: (L, H) of the tower; of its largest layer where layers differ.
        operation, means, scope: As in `intervention.negative`.
        split: Scored split; not E.
        progress: Called after each head.
        heads: The heads of the tower; by default those of a language model with L x H heads.
    """
    started = time.perf_counter()
    before = runner.baseline(split)
    logprob = np.zeros((len(before), *shape), np.float32)
    correct = np.zeros_like(logprob)
    every = [Head(*place) for place in np.ndindex(*shape)] if heads is None else list(as_heads(heads))
    conditions = [
        Condition(f"{operation} {head}", (ablate(HeadSet([head]), operation, means),), scope) for head in every
    ]

    def report(_: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"ablating: {every[done - 1]}", done, total)

    for head, after in zip(every, runner.run_many(conditions, split, report), strict=True):
        check_paired(before, after)
        logprob[:, head.layer, head.head] = (before["logprob"] - after["logprob"]).to_numpy(np.float32)
        right = before["correct"].to_numpy(np.float32) - after["correct"].to_numpy(np.float32)
        correct[:, head.layer, head.head] = right
    return SingleHeadDamage(before, logprob, correct, time.perf_counter() - started)


def sign_flips(
    sums: Float[np.ndarray, "Q ..."], sizes: Int[np.ndarray, " Q"], n_null: int, rng: np.random.Generator
) -> Float32[np.ndarray, "R ..."]:
    """Mean losses under the null: the signs of each scene's sums are flipped at random, together for all heads."""
    signs = rng.choice(np.array([-1.0, 1.0]), size=(n_null, len(sizes)))
    return (np.tensordot(signs, sums, axes=1) / sizes.sum()).astype(np.float32)


def sign_flip_p(
    sums: Float[np.ndarray, "Q L H"],
    sizes: Int[np.ndarray, " Q"],
    null: Float32[np.ndarray, "R L H"],
    pool: Pool = "heads",
) -> Float[np.ndarray, "L H"]:
    """One-sided p of every head, p = (1 + #{null >= observed}) / (n + 1).

    Heads differ in the spread of their losses, so observed and null means are first divided by it (it does not change
    when signs flip). `pool="heads"`: n = R L H, all heads' nulls together. `"max"`: n = R, the largest over heads of
    each repeat (controls the family-wise error). `"none"`: n = R, the head's own.
    """
    return p_in_null(*standardised(sums, sizes, null), pool)


def standardised(
    sums: Float[np.ndarray, "Q ..."], sizes: Int[np.ndarray, " Q"], null: Float32[np.ndarray, "R ..."]
) -> tuple[Float[np.ndarray, " ..."], Float[np.ndarray, "R ..."]]:
    """Observed and null means divided by each head's spread."""
    spread = np.sqrt((sums**2).sum(0))
    spread[spread == 0] = np.inf
    return sums.sum(0) / spread, null * (sizes.sum() / spread)


def p_in_null(
    observed: Float[np.ndarray, " ..."], drawn: Float[np.ndarray, "R ..."], pool: Pool = "heads"
) -> Float[np.ndarray, " ..."]:
    """One-sided p of standardised means in their null, pooled as in `sign_flip_p`."""
    # Ties between an observed mean and its own unflipped null must not be decided by rounding.
    observed = observed - 1e-6
    if pool == "heads":
        ordered = np.sort(drawn.ravel())
        at_least = len(ordered) - np.searchsorted(ordered, observed, side="left")
        return (1 + at_least) / (len(ordered) + 1)
    if pool == "max":
        drawn = np.broadcast_to(drawn.max(axis=tuple(range(1, drawn.ndim)), keepdims=True), drawn.shape)
    elif pool != "none":
        raise HeadAtlasError(f"pool must be 'heads', 'max' or 'none', got {pool!r}")
    return (1 + (drawn >= observed).sum(axis=0)) / (len(drawn) + 1)


def scores_of(
    damage: SingleHeadDamage,
    measure: Measure = "logprob",
    margin: float | None = None,
    pool: Pool = "heads",
    n_null: int | None = None,
    seed: int = 0,
) -> Scores:
    """Scores, null and p from damage that was already measured; arguments as `ablation`.

    `values` are plain mean losses; the null is centred on `margin`.
    """
    losses = damage.of(measure)
    margin = MARGIN[measure] if margin is None else margin
    labels = labels_of(damage.steps)  # [N, F]
    repeats = N_NULL if n_null is None else n_null
    rng = np.random.default_rng(seed)
    shape = (labels.shape[1], *damage.logprob.shape[1:])
    values, pvalues = np.zeros(shape), np.ones(shape)
    low, high = np.zeros(shape), np.zeros(shape)
    null = np.zeros((repeats, *shape), np.float32)
    for c in range(labels.shape[1]):
        rows = labels[:, c]
        if not rows.any():
            continue
        values[c] = losses[rows].mean(axis=0, dtype=np.float64)
        low[c], high[c] = damage.intervals(rows, measure, seed=seed)
        if repeats:
            sums, sizes = damage.scene_sums(rows, measure, margin)
            flips = sign_flips(sums, sizes, repeats, rng)
            null[:, c] = flips + margin
            pvalues[c] = sign_flip_p(sums, sizes, flips, pool)
    sample, function = np.nonzero(labels)
    per_sample = PerSample(losses[sample], function.astype(np.int64), damage.clusters[sample])
    return Scores(
        name="ablation",
        values=values,
        null=null if repeats else None,
        pvalues=pvalues if repeats else None,
        info={"measure": measure, "unit": "nats" if measure == "logprob" else "share of steps", "margin": margin}
        | {"pool": pool, "n_null": repeats, "seconds": damage.seconds},
        arrays={"low": low, "high": high},
        per_sample=per_sample,
    )


@scorer(
    "ablation",
    title="exact ablation",
    label="Exact ablation (A3)",
    description="How much a function's steps lose when one head alone is ablated, measured exactly.",
    unit="nats",
    least=MARGIN["logprob"],
    twin=False,
)
def ablation(
    inputs: ScoringInputs,
    *,
    operation: str = "mean",
    measure: Measure = "logprob",
    means: Means | None = None,
    margin: float | None = None,
    pool: Pool = "heads",
    scope: str = "all",
    cache_dir: str | Path | None = None,
    batch_size: int = 32,
    runner: Runner | None = None,
) -> Scores:
    """Score every head by what the steps of each function lose when it alone is ablated.

    Args:
        inputs: with `vlm` and `data`; heads are scored on split `inputs.on`, means are of split `inputs.fit`.
        operation: `mean`, `zero` or `scale`.
        measure: `logprob` (nats) or `accuracy` (0..1).
        means: mean z [L, H, D]; None: from the activations (selection `all` where captured).
        margin: loss that still counts as none, in the measure's unit; None: that of `MARGIN`.
        pool: how the null is pooled, see `sign_flip_p`.
        scope: token positions of the ablation.
        cache_dir: where answers are cached head by head; None: in memory, so that a killed scan starts again.
        batch_size: questions per batch.
        runner: used instead of a new one.

    Returns:
        Scores; `arrays["low"]`, `arrays["high"]` are 95 % cluster-bootstrap bounds [F, L, H]; `per_sample` has every
        step's losses; `info` has the operation, the tokens of the means and the seconds.

    Raises:
        HeadAtlasError: `vlm` or `data` is missing.
    """
    if inputs.vlm is None or inputs.data is None:
        raise HeadAtlasError("scorer 'ablation' runs the model; pass vlm= and data= to score()")
    tokens = "given"
    if operation == "mean" and means is None:
        tokens = mean_tokens(inputs.activations)
        means = mean_z(inputs.activations, inputs.fit)
    run = runner or Runner(inputs.vlm, inputs.data, cache_dir, batch_size=batch_size)
    grid, tower = inputs.vlm.heads, inputs.tower
    damage = single_head_damage(
        run, grid.padded(tower)[:2], operation, means, inputs.on, scope, inputs.report, grid.heads(tower)
    )
    scores = scores_of(damage, measure, margin, pool, inputs.n_null, inputs.seed)
    scores.info.update(operation=operation, scope=scope, absent=_absent(damage, inputs))
    if operation == "mean":
        scores.info["mean_tokens"] = tokens
    return scores


def _absent(damage: SingleHeadDamage, inputs: ScoringInputs) -> list[str]:
    labels = labels_of(damage.steps)
    return [name for i, name in enumerate(inputs.functions) if not labels[:, i].any()]
