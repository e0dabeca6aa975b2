"""The scorer `paper` (A1): the paper's probe, fitted on split P, and the importance of each head for it on split S.

The probe's arithmetic is in `probe.py`. Presets:

* `paper`: as published (arXiv 2603.20662): the layer's mean appended to each head, lr 1e-4, 100 epochs, one seed, gradient
  x activation. z is divided by one number (its RMS over P), which sets the unit. The paper has no null, so there is none
  unless `n_null` is given.
* `strict`: no layer mean (it leaks the neighbours' scores), z centred and divided by its RMS head by head, exact
  integrated gradients from the mean head, five seeds averaged. Where heads are narrow, the product of projection and hidden
  weights is trained directly, over the samples' principal axes (`probe.py`). lr 3e-3; the number of epochs is chosen on a
  fifth of P's scenes. The null has 20 refits on permuted labels, trained in the same way.

Both score on split S and rank by the signed score: ranking by |score| would include inhibitory heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.registry import near
from headatlas.scoring import probe as mlp
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, check_contrast, scorer
from headatlas.scoring.null import QUESTIONS, Within, movable, permuted_labels, pooled_p
from headatlas.scoring.probe_table import probe_rows


@dataclass(frozen=True)
class ProbeSettings:
    """How the probe is fitted and read. `epochs=None`: chosen inside P, at most `max_epochs`."""

    seeds: int = 5
    epochs: int | None = None
    max_epochs: int = 12
    lr: float = 3e-3
    batch_size: int = 128
    layer_mean: bool = False
    integrated: bool = True
    standardise: str = "head"
    n_null: int = 20
    within: Within = QUESTIONS


PRESETS: dict[str, ProbeSettings] = {
    "strict": ProbeSettings(),
    "paper": ProbeSettings(
        seeds=1,
        epochs=100,
        lr=1e-4,
        batch_size=128,
        layer_mean=True,
        integrated=False,
        standardise="global",
        n_null=0,
    ),
}


def settings(preset: str = "strict", **options: Any) -> ProbeSettings:
    """A preset with some settings replaced. Raises `HeadAtlasError` for an unknown preset or setting."""
    if preset not in PRESETS:
        raise HeadAtlasError(f"preset of scorer 'paper' must be one of {', '.join(PRESETS)}; got {preset!r}")
    names = [field.name for field in fields(ProbeSettings)]
    for name in options:
        if name not in names:
            raise HeadAtlasError(
                f"option of scorer 'paper' must be one of {', '.join(names)}; got {name!r}{near(name, names)}"
            )
    return replace(PRESETS[preset], **options)


@dataclass(frozen=True)
class FittedProbe:
    """Probes fitted on one split: the first `true` of them on the labels, the others each on permuted labels."""

    probes: mlp.Probes
    true: int
    centre: Float[Tensor, "L H D"]
    scale: Float[Tensor, "L H"]
    epochs: int
    settings: ProbeSettings
    val_loss: tuple[float, ...]

    def inputs(self, z: Float32[np.ndarray, "N L H D"]) -> Float32[Tensor, "N J I"]:
        """The probe's inputs from z: standardised, with the layer's mean appended to each head where the settings say so."""
        x = (torch.from_numpy(z) - self.centre) / self.scale[..., None]
        if self.settings.layer_mean:
            x = torch.cat([x, x.mean(2, keepdim=True).expand_as(x)], dim=-1)
        return x.reshape(len(z), -1, x.shape[-1])

    @torch.no_grad()
    def logits(self, z: Float32[np.ndarray, "N L H D"]) -> Float32[np.ndarray, "R N F"]:
        """Logits of all probes, without dropout."""
        return torch.cat([self.probes.logits(part) for part in self.inputs(z).split(1024)], dim=1).numpy()


def fit_probe(inputs: ScoringInputs, chosen: ProbeSettings, n_null: int) -> FittedProbe:
    """Fit `chosen.seeds` probes on the labels of split P and `n_null` on permuted ones, all in one batch.

    A repeat of the null is one refit, not averaged over seeds: its spread is wider than that of the averaged score, so that
    fewer heads are selected rather than more.
    """
    if chosen.standardise not in ("head", "global"):
        raise HeadAtlasError(f"standardise must be 'head' or 'global', got {chosen.standardise!r}")
    steps, labels, z = inputs.steps(inputs.fit), inputs.labels(inputs.fit), inputs.z(inputs.fit)
    flat = torch.from_numpy(z)
    if chosen.standardise == "head":
        centre = flat.mean(0)
        scale = (flat - centre).square().mean((0, 3)).sqrt()
    else:
        centre = torch.zeros(z.shape[1:])
        scale = flat.square().mean().sqrt().expand(z.shape[1:3])
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    blank = FittedProbe(mlp.new_probes(1, 1, 1, [0]), chosen.seeds, centre, scale, 0, chosen, ())
    x = blank.inputs(z)
    folded = _folds(chosen, x)
    basis = mlp.principal_axes(x) if folded else None
    if basis is not None:
        x = (x.flatten(1) @ basis)[..., None]
    seeds = [inputs.seed * 100_003 + 17 * number for number in range(chosen.seeds + n_null)]
    epochs, curve = chosen.epochs, ()
    if epochs is None:
        epochs, curve = _choose_epochs(inputs, chosen, x, labels, scenes_of(steps), seeds[:2], folded)
    rng = np.random.default_rng(inputs.seed)
    permuted = permuted_labels(labels, steps, n_null, rng, chosen.within)
    targets = np.concatenate([np.repeat(labels[None], chosen.seeds, 0), permuted])
    probes = mlp.train(
        x,
        torch.as_tensor(targets),
        seeds=seeds,
        epochs=epochs,
        lr=chosen.lr,
        batch_size=chosen.batch_size,
        folded=folded,
        progress=lambda _, done, total: inputs.report("paper: probe and null", done, total),
    )
    return replace(blank, probes=replace(probes, basis=basis), epochs=epochs, val_loss=curve)


def _folds(chosen: ProbeSettings, x: Float32[Tensor, "N J I"]) -> tuple[int, int] | None:
    """(J, I) where the product U W may be trained directly: heads are narrow, and the attribution does not need W alone."""
    return (x.shape[1], x.shape[2]) if chosen.integrated and x.shape[2] <= mlp.PROJECTION else None


def _choose_epochs(
    inputs: ScoringInputs,
    chosen: ProbeSettings,
    x: Float32[Tensor, "N J I"],
    labels: Bool[np.ndarray, "N F"],
    scenes: np.ndarray,
    seeds: list[int],
    folded: tuple[int, int] | None,
) -> tuple[int, tuple[float, ...]]:
    """The number of epochs after which the loss on held-out scenes of P is least, and that loss by epoch."""
    unique = np.unique(scenes)
    if len(unique) < 2:
        raise HeadAtlasError("choosing epochs needs at least 2 scenes in the split fitted on, got 1; pass epochs=")
    held_out = np.random.default_rng(inputs.seed).permutation(unique)[: max(1, len(unique) // 5)]
    inside, out = (torch.as_tensor(np.flatnonzero(np.isin(scenes, held_out, invert=part))) for part in (True, False))
    targets = torch.as_tensor(np.repeat(labels[None], len(seeds), 0))
    multi = bool((labels.sum(1) != 1).any())
    losses = np.zeros(chosen.max_epochs)

    def watch(epoch: int, probes: mlp.Probes) -> None:
        losses[epoch] += float(mlp.loss(probes.logits(x[out]), targets[: len(probes.u)][:, out], multi).sum())

    mlp.train(
        x[inside],
        targets[:, inside],
        seeds=seeds,
        epochs=chosen.max_epochs,
        lr=chosen.lr,
        batch_size=chosen.batch_size,
        folded=folded,
        after_epoch=watch,
        progress=lambda _, done, total: inputs.report("paper: choosing epochs", done, total),
    )
    return int(losses.argmin()) + 1, tuple(round(float(value) / len(seeds), 5) for value in losses)


@scorer(
    "paper",
    title="the paper's probe",
    label="Paper's probe (A1)",
    description="How much each head contributes to a probe that predicts a step's function from all heads together.",
    unit="logits / 64",
)
def paper(
    inputs: ScoringInputs, *, preset: str = "strict", probe_splits: Sequence[str] = ("S", "T"), **options: Any
) -> Scores:
    """Importance of every head for the paper's probe; `options` replace settings of the preset (`ProbeSettings`).

    score = mean over the steps of function c in split S of the attribution of logit c to the head, in logits / 64,
    signed. p-values are pooled over heads, and over functions too (each scaled by its null's spread) where that null
    is too small for one lone head to pass BH. `info`: `settings`, `epochs`, `val_loss` by epoch, `pooled_over`,
    `movable` (F), `absent`, and `probe`: rows of `results/probe.csv` for `probe_splits` (those that were captured).
    Raises `HeadAtlasError` for an unknown preset or option. Source: arXiv 2603.20662.
    """
    chosen = settings(preset, **options)
    check_contrast(inputs, "paper")
    n_null = chosen.n_null if inputs.n_null is None else inputs.n_null
    n_control = max(n_null, 1)  # accuracy is always reported beside that on control labels
    fitted = fit_probe(inputs, chosen, n_control)

    steps, labels, z = inputs.steps(inputs.on), inputs.labels(inputs.on), inputs.z(inputs.on)
    shape = (labels.shape[1], *z.shape[1:3])
    present = np.logical_and(labels.any(0), inputs.labels(inputs.fit).any(0))
    x = fitted.inputs(z)
    inner = fitted.probes.inner(x)
    row, label = _pairs(labels)
    samples = torch.zeros(len(row), x.shape[1])
    for r in range(chosen.seeds):
        samples += (
            mlp.attribute(fitted.probes, r, x, row, label, integrated=chosen.integrated, inner=inner) / chosen.seeds
        )
    cluster = np.unique(scenes_of(steps), return_inverse=True)[1].astype(np.int64)
    per_sample = PerSample(samples.double().numpy().reshape(-1, *shape[1:]), label, cluster[row])
    values = per_sample.mean(shape[0])
    values[~present] = 0.0

    null = pvalues = None
    pooled_over = "none"
    if n_null:
        rng = np.random.default_rng(inputs.seed + 1)
        permuted = permuted_labels(labels, steps, n_null, rng, chosen.within)
        null = np.zeros((n_null, *shape))
        for r in range(n_null):
            null_row, null_label = _pairs(permuted[r])
            number = chosen.seeds + r
            part = mlp.attribute(
                fitted.probes, number, x, null_row, null_label, integrated=chosen.integrated, inner=inner
            )
            null[r] = PerSample(part.double().numpy().reshape(-1, *shape[1:]), null_label, null_row).mean(shape[0])
            inputs.report("paper: null attributions", r + 1, n_null)
        null[:, ~present] = 0.0
        enough = n_null * shape[1] * shape[2] + 1 >= values.size / 0.05
        pooled_over = "heads" if enough else "all"
        pvalues = pooled_p(values, null, over=pooled_over)
        pvalues[~present] = 1.0
    return Scores(
        name="paper",
        values=values,
        null=null,
        pvalues=pvalues,
        info={
            "preset": preset,
            "settings": asdict(chosen),
            "epochs": fitted.epochs,
            "val_loss": list(fitted.val_loss),
            "n_null": n_null,
            "pooled_over": pooled_over,
            "tokens": inputs.tokens,
            "movable": [round(float(value), 4) for value in movable(labels, steps, chosen.within)],
            "absent": [name for name, there in zip(inputs.functions, present.tolist(), strict=True) if not there],
            "probe": _table(inputs, fitted, probe_splits).to_dict("records"),
        },
        per_sample=per_sample,
    )


def probe_accuracy(inputs: ScoringInputs, split: str, *, preset: str = "strict", **options: Any) -> pd.DataFrame:
    """Rows of `results/probe.csv` for one split, by probes refitted on P exactly as `paper` fits them.

    For split E, once, at the very end; `paper` itself reports S and T. Fits one set of control labels, or `inputs.n_null`.
    """
    chosen = settings(preset, **options)
    fitted = fit_probe(inputs, chosen, inputs.n_null or 1)
    return probe_rows(inputs, split, fitted.logits(inputs.z(split)), fitted.true, chosen.within)


def _table(inputs: ScoringInputs, fitted: FittedProbe, splits: Sequence[str]) -> pd.DataFrame:
    captured = set(inputs.activations.steps["split"])
    parts = [
        probe_rows(inputs, split, fitted.logits(inputs.z(split)), fitted.true, fitted.settings.within)
        for split in splits
        if split in captured
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _pairs(labels: Bool[np.ndarray, "N F"]) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    row, label = np.nonzero(labels)
    return row.astype(np.int64), label.astype(np.int64)
