"""The scorer `linear` (A2): one linear probe per head and function, compared with probes on control labels.

Each probe is a ridge regression of the label on one head's z, whose direction is that of a shrunk LDA. It has a closed
form, so all heads, functions and permutations are solved together: a head's Gram matrix is inverted once for all labels.

score = *selectivity* (Hewitt & Liang 2019): AUC(true labels) - mean AUC(control labels), both fitted on split P and
measured on split S. Control labels are label sequences of other questions (see `null.py`); each of them, less the
mean of the others, is one repeat of the null. Before that, surface features of the step (length and words of the answer, its
type, the step's index) are regressed out of z by a ridge regression fitted on P, so that they do not count as function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from sklearn.model_selection import GroupKFold
from torch import Tensor

from headatlas.answers.metrics import scenes_of
from headatlas.errors import HeadAtlasError
from headatlas.scoring.auc import auc, auc_columns
from headatlas.scoring.base import PerSample, Scores, ScoringInputs, check_contrast, scorer
from headatlas.scoring.confounds import ANSWER, KINDS, fit_surface
from headatlas.scoring.null import QUESTIONS, Within, movable, permuted_labels, pooled_p

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the ridge, in units of the mean variance of a head's z."""
_SURFACE_RIDGE = 1e-2
_ELEMENTS_AT_ONCE = 40_000_000  # predictions [J, N, K] in memory at a time: 160 MB


@scorer(
    "linear",
    title="the linear probe",
    label="Linear probe (A2)",
    description="How well a linear probe on one head alone predicts a step's function, above the same on control labels.",
    unit="AUC",
    least=0.1,
)
def linear(
    inputs: ScoringInputs,
    *,
    confounds: Sequence[str] = ANSWER,
    within: Within = QUESTIONS,
    ridges: Sequence[float] = RIDGES,
    folds: int = 4,
) -> Scores:
    """Selectivity in AUC (-1..1) of every head for every function; null of `inputs.n_null` (default 200) permutations.

    `confounds`: surface kinds taken out of z before probing (`confounds.KINDS`; `()` for none). `ridges`: tried by
    cross-validation on P, grouped by scene; the one best on the mean over heads and functions is used for all.
    `Scores.arrays`: `auc` [F,L,H] on S with true labels, `control` [F,L,H], `auc_raw` [F,L,H] without taking confounds
    out, `gain` [F,L,H] what the head adds to the AUC of the whole surface, words of the step included. `info`:
    `text_only_auc` (F), `movable` (F; 0 means that the control cannot separate the function from its answer type),
    `cv_auc` per ridge, `absent`. Source: Hewitt & Liang 2019, https://arxiv.org/abs/1909.03368.
    """
    check_contrast(inputs, "linear")
    steps, on_steps = inputs.steps(inputs.fit), inputs.steps(inputs.on)
    labels, on_labels = inputs.labels(inputs.fit), inputs.labels(inputs.on)
    z, on_z = inputs.z(inputs.fit), inputs.z(inputs.on)
    n_layers, n_heads = z.shape[1:3]
    shape = (len(inputs.functions), n_layers, n_heads)
    raw, on_raw = _by_head(z), _by_head(on_z)
    surface = fit_surface(steps, tuple(confounds))
    clean, on_clean = residual(raw, on_raw, _tensor(surface(steps)), _tensor(surface(on_steps)))

    groups = scenes_of(steps)
    cv = _cross_validate(clean, labels, groups, ridges, folds)
    ridge = float(max(cv, key=lambda candidate: cv[candidate]))

    rng = np.random.default_rng(inputs.seed)
    n_null = 200 if inputs.n_null is None else inputs.n_null
    n_control = max(n_null, 10)  # the score needs control labels even if no null is asked for
    fit_null = permuted_labels(labels, steps, n_control, rng, within)
    on_null = permuted_labels(on_labels, on_steps, n_control, rng, within)

    solver = Ridge(clean, ridge)
    true_scores = solver.predict(on_clean, torch.as_tensor(labels))  # [J, N, F]
    true = auc_columns(true_scores, torch.as_tensor(on_labels)).numpy().T.reshape(shape)
    areas = _null_areas(inputs, solver, on_clean, fit_null, on_null).reshape(n_control, *shape)
    control = areas.mean(0)

    raw_scores = Ridge(raw, ridge).predict(on_raw, torch.as_tensor(labels))
    auc_raw = auc_columns(raw_scores, torch.as_tensor(on_labels)).numpy().T.reshape(shape)
    text_auc, gain = _gain(inputs, raw, on_raw, ridge)

    present = np.array([both_classes(labels, on_labels, c) for c in range(shape[0])])
    values = (true - control).astype(np.float64)
    values[~present] = 0.0
    null = pvalues = None
    if n_null:
        # Leave-one-out: a repeat may not lower the control that it is compared with.
        null = ((areas - control) * (n_control / max(n_control - 1, 1)))[:n_null].astype(np.float64)
        null[:, ~present] = 0.0
        pvalues = pooled_p(values, null)
        pvalues[~present] = 1.0
    return Scores(
        name="linear",
        values=values,
        null=null,
        pvalues=pvalues,
        info={
            "ridge": ridge,
            "cv_auc": {str(candidate): round(score, 4) for candidate, score in cv.items()},
            "confounds": list(surface.kinds),
            "within": within if isinstance(within, str) else list(within),
            "n_null": n_null,
            "tokens": inputs.tokens,
            "text_only_auc": [round(float(value), 4) for value in text_auc],
            "movable": [round(float(value), 4) for value in movable(on_labels, on_steps, within)],
            "absent": [name for name, there in zip(inputs.functions, present, strict=True) if not there],
        },
        arrays={"auc": true, "control": control, "auc_raw": auc_raw, "gain": gain.reshape(shape)},
        per_sample=_placements(true_scores, on_labels, control, scenes_of(on_steps), (n_layers, n_heads)),
    )


class Ridge:
    """Ridge regressions on the columns of x[j], one for each head, solved up to the labels."""

    def __init__(self, x: Float32[Tensor, "J N D"], ridge: float) -> None:
        if ridge <= 0:
            raise HeadAtlasError(f"ridge must be > 0, got {ridge}")
        self.centre = x.mean(1, keepdim=True)
        self.x = x - self.centre
        gram = self.x.transpose(1, 2) @ self.x / x.shape[1]
        size = x.shape[2]
        unit = gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
        gram = gram + (ridge * unit)[:, None, None] * torch.eye(size)
        self.factor = torch.linalg.cholesky(gram)

    def predict(self, x: Float32[Tensor, "J M D"], labels: Bool[Tensor, "N K"]) -> Float32[Tensor, "J M K"]:
        """Scores of new samples by probes fitted to each label column (higher = more likely)."""
        target = labels.float() - labels.float().mean(0)
        moment = self.x.transpose(1, 2) @ target / self.x.shape[1]
        return (x - self.centre) @ torch.cholesky_solve(moment, self.factor)


def both_classes(fit: Bool[np.ndarray, "N F"], on: Bool[np.ndarray, "M F"], function: int) -> bool:
    """Whether both splits have steps with and steps without the function: else there is no AUC."""
    return all(0 < labels[:, function].sum() < len(labels) for labels in (fit, on))


def residual(
    x: Float32[Tensor, "J N D"],
    on: Float32[Tensor, "J M D"],
    design: Float32[Tensor, "N K"],
    on_design: Float32[Tensor, "M K"],
) -> tuple[Float32[Tensor, "J N D"], Float32[Tensor, "J M D"]]:
    """z minus what a ridge regression on the surface predicts of it; fitted on the first, applied to both."""
    if not design.shape[1]:
        return x, on
    size = design.shape[1]
    gram = design.T @ design / len(design) + _SURFACE_RIDGE * torch.eye(size)
    centre = x.mean(1, keepdim=True)
    slope = torch.linalg.solve(gram, design.T @ (x - centre) / len(design))  # [J, K, D]
    return x - design @ slope, on - on_design @ slope


def _null_areas(
    inputs: ScoringInputs,
    solver: Ridge,
    on: Float32[Tensor, "J M D"],
    fit_null: Bool[np.ndarray, "R N F"],
    on_null: Bool[np.ndarray, "R M F"],
) -> Float[np.ndarray, "R F J"]:
    repeats, _, functions = fit_null.shape
    heads, samples = on.shape[:2]
    at_once = max(1, _ELEMENTS_AT_ONCE // (heads * samples * functions))
    out = np.empty((repeats, functions, heads))
    for start in range(0, repeats, at_once):
        some = slice(start, start + at_once)
        columns = torch.as_tensor(fit_null[some].transpose(1, 0, 2).reshape(fit_null.shape[1], -1))
        truth = torch.as_tensor(on_null[some].transpose(1, 0, 2).reshape(samples, -1))
        area = auc_columns(solver.predict(on, columns), truth)  # [J, r*F]
        out[some] = area.T.reshape(-1, functions, heads).numpy()
        inputs.report("linear: null", min(start + at_once, repeats), repeats)
    return out


def _cross_validate(
    x: Float32[Tensor, "J N D"],
    labels: Bool[np.ndarray, "N F"],
    groups: np.ndarray,
    ridges: Sequence[float],
    folds: int,
) -> dict[float, float]:
    n_groups = len(set(groups.tolist()))
    if n_groups < 2:
        raise HeadAtlasError(f"the split fitted on must have at least 2 scenes for cross-validation, got {n_groups}")
    scores = {float(ridge): 0.0 for ridge in ridges}
    for train, test in GroupKFold(min(folds, n_groups)).split(groups, groups=groups):
        for ridge in scores:
            predicted = Ridge(x[:, train], ridge).predict(x[:, test], torch.as_tensor(labels[train]))
            scores[ridge] += float(auc_columns(predicted, torch.as_tensor(labels[test])).mean())
    return {ridge: total / min(folds, n_groups) for ridge, total in scores.items()}


def _gain(
    inputs: ScoringInputs, raw: Float32[Tensor, "J N D"], on_raw: Float32[Tensor, "J M D"], ridge: float
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, "F J"]]:
    """AUC of the surface alone, and what each head adds to it in one regression on both."""
    steps, on_steps = inputs.steps(inputs.fit), inputs.steps(inputs.on)
    labels, on_labels = torch.as_tensor(inputs.labels(inputs.fit)), inputs.labels(inputs.on)
    surface = fit_surface(steps, KINDS)
    design, on_design = _tensor(surface(steps)), _tensor(surface(on_steps))
    clean, on_clean = residual(raw, on_raw, design, on_design)
    text = Ridge(design[None], _SURFACE_RIDGE).predict(on_design[None], labels)  # [1, N, F]
    # the surface was regressed out of z, so the regression on both is the sum of the two (Frisch-Waugh-Lovell).
    both = Ridge(clean, ridge).predict(on_clean, labels) + text
    alone = np.array([auc(text[0, :, c].numpy(), on_labels[:, c]) for c in range(on_labels.shape[1])])
    return alone, auc_columns(both, torch.as_tensor(on_labels)).numpy().T - alone[:, None]


def _placements(
    scores: Float32[Tensor, "J N F"],
    labels: Bool[np.ndarray, "N F"],
    control: Float[np.ndarray, "F L H"],
    scenes: np.ndarray,
    shape: tuple[int, int],
) -> PerSample:
    """For each positive step, the share of negatives that rank below it (their mean is the AUC), less that of the control."""
    parts, function = [], []
    for c in range(labels.shape[1]):
        positive = torch.as_tensor(labels[:, c])
        if not positive.any() or positive.all():
            continue
        negatives = scores[:, ~positive, c].sort(dim=1).values.contiguous()  # [J, n]
        ours = scores[:, positive, c].contiguous()  # [J, m]
        below = (torch.searchsorted(negatives, ours) + torch.searchsorted(negatives, ours, right=True)) / 2  # ties half
        share = below.double().numpy().T.reshape(-1, *shape) / negatives.shape[1]
        parts.append(share - control[c])
        function += [(c, row) for row in np.flatnonzero(labels[:, c])]
    cluster = np.unique(scenes, return_inverse=True)[1]
    pairs = np.array(function, dtype=np.int64).reshape(-1, 2)
    values = np.concatenate(parts) if parts else np.zeros((0, *shape))
    return PerSample(values, pairs[:, 0], cluster[pairs[:, 1]].astype(np.int64))


def _by_head(z: Float32[np.ndarray, "N L H D"]) -> Float32[Tensor, "J N D"]:
    n, layers, heads, size = z.shape
    return torch.from_numpy(np.ascontiguousarray(z)).reshape(n, layers * heads, size).transpose(0, 1).contiguous()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
