"""The method `gain`: one factor for each head, z' = exp(strength * theta) z, fitted on split P by gradient.

theta starts at 0 (factor 1) and is pulled back to 0 by an L1 penalty (a proximal step after each update), so that the method
chooses its own heads: those whose log factor ends within `LEAST` of 0 are left unchanged. A gain exactly undoes the surgery that
makes heads latent (`vlm.surgery.scale_output`), and folds into the output projection's weights (`HeadRecipe.merge`). Its control
`all_heads` has one factor for all heads together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.heads import Edit, HeadSet, scale
from headatlas.heads.grid import Site
from headatlas.heads.hooks import at_sites
from headatlas.latent.fitting import fit_parameters
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, heads_by, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM
from headatlas.vlm.recipe import HeadRecipe

LEAST = 0.2
"""Heads whose |log factor| stays below this keep factor 1."""


@method("gain")
@dataclass
class Gain:
    """Make each head louder or quieter by its own factor.

    Args:
        steps: updates of the fit.
        lr: of log factors.
        pull: how far each update pulls a log factor toward 0, as a share of the learning rate.
        beta: weight of staying close to the unchanged model on non-spatial steps.
        tried: strengths tried on split T, as multiples of the fitted log factors.

    Attributes:
        theta: log factor of every head, [L, H]; 0 where the head is unchanged.
        strength: as tuned; 0 for none.
    """

    steps: int = 48
    lr: float = 0.2
    pull: float = 0.4
    beta: float = 0.2
    tried: Sequence[float] = (0.25, 0.5, 0.75, 1.0, 1.25)
    name: str = "gain"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "shuffled")
    needs: tuple[str, ...] = ("gradients",)
    strength: float = 0.0
    reason: str = ""
    theta: Tensor | None = None
    strengths: list[Strength] = field(default_factory=list)

    @property
    def heads(self) -> HeadSet:
        """Where it acts, the most changed head first."""
        if self.theta is None:
            return HeadSet(())
        return heads_by(self.theta.abs())

    @property
    def cost(self) -> Cost:
        """One number per head."""
        return Cost(parameters=len(self.heads))

    def fit(self, inputs: MethodInputs) -> None:
        """Fit the factors on split P: of all heads, of a control's heads alone, or one factor for all."""
        vlm = inputs.vlm
        allowed = torch.from_numpy(inputs.may_fit(vlm.heads.shape)).to(vlm.device).float()
        fitted = (1, 1) if inputs.control == "all_heads" else vlm.heads.shape
        theta = torch.zeros(fitted, device=vlm.device, requires_grad=True)

        def pull(rate: float) -> None:
            theta.copy_(theta.sign() * (theta.abs() - self.pull * rate).clamp(min=0))

        fit_parameters(
            inputs, [theta], lambda: scaled(vlm, theta * allowed), name=self.name, lr=self.lr, steps=self.steps,
            beta=self.beta, after_step=pull,
        )  # fmt: skip
        theta_fitted = (theta.detach() * allowed).cpu()
        self.theta, self.strength = torch.where(theta_fitted.abs() >= LEAST, theta_fitted, 0.0), 1.0
        self.reason = "" if self.heads else "every head's factor stayed at 1"

    def tune(self, inputs: MethodInputs) -> None:
        """Choose on split T which multiple of the fitted log factors is used."""
        if self.heads:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, strength: float | None) -> None:
        self.strength = strength or 0.0

    def edits(self) -> tuple[Edit, ...]:
        """One edit for each head."""
        if self.theta is None or not self.strength:
            return ()
        return tuple(
            scale(HeadSet((head,)), math.exp(self.strength * float(self.theta[head.layer, head.head])))
            for head in self.heads
        )

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the heads have their factors."""
        with vlm.edit(*self.edits()):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """A head recipe with the factors."""
        return HeadRecipe.of(vlm, self.name, self.edits(), settings={"strength": self.strength})


def scaled(vlm: VLM, theta: Float[Tensor, "L H"]) -> AbstractContextManager[None]:
    """Within the block every head of the language model is multiplied by exp(theta), differentiably."""

    def act(site: Site, hidden: Tensor) -> Tensor:
        factor = theta[site.layer, : site.n_heads].exp().to(hidden.dtype)
        return (site.split(hidden) * factor[:, None]).reshape(hidden.shape)

    return at_sites(vlm.heads, vlm.heads.tower("L"), act, "fit", vlm.model)
