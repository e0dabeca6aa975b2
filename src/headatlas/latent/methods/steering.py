"""The methods `steering` (arXiv 2603.20662) and `conditional_steering`, which steers only spatial steps.

The chosen heads are moved along their directions from wrong to right answers, estimated on split P, by alpha standard
deviations; alpha is tuned on split T. The conditional form reads z of the chosen heads in the unchanged model where an
answer begins, and steers only where a logistic regression on it, fitted on split P, says that the step is spatial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headatlas.cogvsr.functions import SPATIAL
from headatlas.heads import Edit, HeadSet
from headatlas.intervention import Directions, directions
from headatlas.intervention.directions import MIN_EACH
from headatlas.intervention.operations import split_rows
from headatlas.latent.by_turn import BareTurns, around_turns
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM
from headatlas.vlm.recipe import HeadRecipe


@method("steering")
@dataclass
class Steering:
    """Move the chosen heads toward right answers.

    Args:
        tried: values of alpha, in standard deviations along the direction.
        min_each: a direction needs at least so many right and so many wrong steps.

    Attributes:
        directions: by spatial function; only of those for which there is one.
        alpha: as tuned; 0 for none.
    """

    tried: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
    min_each: int = MIN_EACH
    name: str = "steering"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "random_directions", "shuffled")
    needs: tuple[str, ...] = ("activations", "heads", "wrong_answers")
    by_function: dict[str, HeadSet] = field(default_factory=dict)
    directions: dict[str, Directions] = field(default_factory=dict)
    alpha: float = 0.0
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def heads(self) -> HeadSet:
        """Where it acts."""
        return HeadSet(head for function in self.directions for head in self.by_function[function])

    @property
    def cost(self) -> Cost:
        """A direction for each head."""
        width = next(iter(self.directions.values())).u.shape[-1] if self.directions else 0
        return Cost(parameters=width * len(self.heads))

    def fit(self, inputs: MethodInputs) -> None:
        """Estimate the directions on split P."""
        self.directions, self.alpha, reasons = {}, 0.0, []
        there = set(inputs.captured().steps["function"])
        for function in (name for name in SPATIAL if name in there):
            heads = inputs.heads.get(function, HeadSet(()))
            shuffle = inputs.seed + 1 if inputs.control == "shuffled" else None
            estimated = directions(inputs.captured(), function, shuffle=shuffle, min_each=self.min_each)
            if inputs.control == "random_directions" and estimated.usable:
                estimated = estimated.random(inputs.rng)
            if heads and estimated.usable:
                self.directions[function], self.by_function[function] = estimated, heads
            else:
                reasons.append(estimated.reason or f"no heads of {function} are chosen")
        self.reason = "" if self.directions else "; ".join(reasons) or "split P has no spatial step"

    def tune(self, inputs: MethodInputs) -> None:
        """Choose alpha on split T."""
        if self.directions:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, alpha: float | None) -> None:
        self.alpha = alpha or 0.0

    def edits(self) -> tuple[Edit, ...]:
        """One edit for each function; in heads of both functions the additions are summed."""
        if not self.alpha:
            return ()
        return tuple(found.edit(self.by_function[name], self.alpha) for name, found in self.directions.items())

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the heads are steered where answers are predicted."""
        with vlm.edit(*self.edits(), scope="answer"):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """A head recipe with the vectors that are added."""
        return HeadRecipe.of(vlm, self.name, self.edits(), scope="answer", settings={"alpha": self.alpha})


@method("conditional_steering")
@dataclass
class ConditionalSteering(Steering):  # pyright: ignore[reportGeneralTypeIssues]
    """`steering` only of answers that a probe classifies as spatial."""

    name: str = "conditional_steering"
    probe: Any = None

    @property
    def cost(self) -> Cost:
        """Directions and a probe."""
        return Cost(parameters=super().cost.parameters + (0 if self.probe is None else self.probe[-1].coef_.size))

    def fit(self, inputs: MethodInputs) -> None:
        """Estimate directions and probe on split P."""
        super().fit(inputs)
        if not self.directions:
            return
        acts = inputs.captured()
        rows = split_rows(acts, "P")
        wanted = acts.steps["function"].isin(SPATIAL).to_numpy()[rows]
        if wanted.all() or not wanted.any():
            self.directions, self.reason = {}, "split P must have spatial and other steps to fit the probe"
            return
        tokens = next((name for name in ("last", "predict") if name in acts.tokens), next(iter(acts.tokens)))
        z = np.asarray(acts.z(tokens, rows=rows), dtype=np.float32)
        self.probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        self.probe.fit(self._features(z), wanted)

    def _features(self, z: np.ndarray) -> np.ndarray:
        return np.concatenate([z[:, head.layer, head.head] for head in self.heads], axis=1)

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the heads are steered at answers that the probe classifies as spatial."""
        if not self.edits():
            yield
            return

        def decide(bare: BareTurns) -> list[int]:
            z = bare.z.numpy()
            return [0 if spatial else -1 for spatial in self.probe.predict(self._features(z))]

        weights = torch.from_numpy(self.probe[-1].coef_)
        key = f"{self.name}:{float(weights.abs().sum())!r}:" + ",".join(edit.fingerprint for edit in self.edits())
        with around_turns(vlm, decide, [self.edits()], "answer", key):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """Raise `HeadAtlasError`: a recipe cannot hold the probe."""
        from headatlas.errors import HeadAtlasError

        raise HeadAtlasError(
            "conditional_steering cannot be saved as a recipe, which cannot hold a probe: save `steering`"
        )
