"""The method `function_vector` (arXiv 2310.15213): add the chosen heads' mean output at spatial steps to every answer.

The addition to each head is strength times (mean z over the spatial steps of split P - mean z over its other steps).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from headatlas.cogvsr.functions import SPATIAL
from headatlas.heads import Edit, HeadSet
from headatlas.intervention.operations import split_rows
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM
from headatlas.vlm.recipe import HeadRecipe


@method("function_vector")
@dataclass
class FunctionVector:
    """Add the chosen heads' mean output at spatial steps.

    Args:
        tried: strengths.

    Attributes:
        vector: what strength 1 adds, [L, H, D].
        strength: as tuned; 0 for none.
    """

    tried: Sequence[float] = (0.25, 0.5, 1.0, 2.0)
    name: str = "function_vector"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "random_directions", "shuffled")
    needs: tuple[str, ...] = ("activations", "heads")
    heads: HeadSet = field(default_factory=lambda: HeadSet(()))
    vector: Tensor | None = None
    strength: float = 0.0
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """A vector for each head."""
        return Cost(parameters=0 if self.vector is None else len(self.heads) * self.vector.shape[-1])

    def fit(self, inputs: MethodInputs) -> None:
        """Take the means on split P."""
        self.heads, self.strength, self.vector = inputs.spatial_heads, 0.0, None
        acts = inputs.captured()
        rows = split_rows(acts, "P")
        wanted = acts.steps["function"].isin(SPATIAL).to_numpy()[rows]
        if not self.heads or wanted.all() or not wanted.any():
            self.reason = "no heads are chosen" if not self.heads else "split P must have spatial and other steps"
            return
        if inputs.control == "shuffled":
            wanted = inputs.rng.permutation(wanted)
        tokens = "predict" if "predict" in acts.tokens else next(iter(acts.tokens))
        z = np.asarray(acts.z(tokens, rows=rows), dtype=np.float32)
        vector = z[wanted].mean(0) - z[~wanted].mean(0)
        if inputs.control == "random_directions":
            drawn = inputs.rng.standard_normal(vector.shape).astype(np.float32)
            vector = (
                drawn * np.linalg.norm(vector, axis=-1, keepdims=True) / np.linalg.norm(drawn, axis=-1, keepdims=True)
            )
        self.vector, self.reason = torch.from_numpy(vector), ""

    def tune(self, inputs: MethodInputs) -> None:
        """Choose the strength on split T."""
        if self.vector is not None:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, strength: float | None) -> None:
        self.strength = strength or 0.0

    def edits(self) -> tuple[Edit, ...]:
        """One edit of all heads."""
        if self.vector is None or not self.strength:
            return ()
        return (Edit(self.heads, 1.0, self.strength * self.vector, "function_vector"),)

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the vector is added where answers are predicted."""
        with vlm.edit(*self.edits(), scope="answer"):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """A head recipe with the vector that is added."""
        return HeadRecipe.of(vlm, self.name, self.edits(), scope="answer", settings={"strength": self.strength})
