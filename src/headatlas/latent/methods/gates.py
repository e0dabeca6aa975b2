"""The method `gates`: close heads that harm the spatial answers, z' = g z + (1 - g) mean, with g in 0..1 fitted on split P.

As in causal head gating, but fitted to improve answers: a gate closes if the gold answers of spatial steps become more likely
without the head. All gates begin nearly open, and each update pulls them open, so that heads that do no harm stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headatlas.heads import Edit, HeadSet
from headatlas.intervention.operations import mean_z
from headatlas.latent.fitting import fit_parameters
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, heads_by, method
from headatlas.latent.tuning import tune_strength
from headatlas.scoring.gates import gated
from headatlas.vlm import VLM
from headatlas.vlm.recipe import HeadRecipe

OPEN = 0.9
"""Gates that end above this value are opened fully."""
START = 0.97
"""Initial value: not exactly 1, where the sigmoid has no gradient."""


@method("gates")
@dataclass
class Gates:
    """Close the heads without which the spatial answers are better.

    Args:
        steps: updates of the fit.
        lr: of the gates' logits.
        pull: cost of a closed gate, in nats of a spatial answer.
        tried: strengths tried on split T; 1 closes each gate as far as was fitted, smaller values less.

    Attributes:
        gates: g of every head, [L, H]; 1 where the head is unchanged.
        strength: as tuned; 0 for none.
    """

    steps: int = 48
    lr: float = 0.3
    pull: float = 0.02
    tried: Sequence[float] = (0.5, 1.0)
    name: str = "gates"
    controls: tuple[str, ...] = ("random_heads", "shuffled")
    needs: tuple[str, ...] = ("activations", "gradients")
    strength: float = 0.0
    reason: str = ""
    gates: Tensor | None = None
    strengths: list[Strength] = field(default_factory=list)
    _means: Tensor | None = None

    @property
    def heads(self) -> HeadSet:
        """The heads whose gates are not open, the most closed first."""
        if self.gates is None:
            return HeadSet(())
        return heads_by(1 - self.gates)

    @property
    def cost(self) -> Cost:
        """One number per head."""
        return Cost(parameters=len(self.heads))

    def fit(self, inputs: MethodInputs) -> None:
        """Fit the gates on split P: of all heads, or of a control's heads alone."""
        vlm = inputs.vlm
        means = self._means = torch.from_numpy(mean_z(inputs.captured(), "P"))
        allowed = torch.from_numpy(inputs.may_fit(vlm.heads.shape)).to(vlm.device)
        logits = torch.full(vlm.heads.shape, START, device=vlm.device).logit().requires_grad_(True)

        def current() -> Tensor:
            return torch.where(allowed, torch.sigmoid(logits), 1.0)

        fit_parameters(
            inputs, [logits], lambda: gated(vlm, current(), means), name=self.name, lr=self.lr, steps=self.steps,
            penalty=lambda: self.pull * (1 - current()).sum(),
        )  # fmt: skip
        fitted = current().detach().cpu()
        self.gates, self.strength = torch.where(fitted > OPEN, 1.0, fitted), 1.0
        self.reason = "" if self.heads else "every gate stayed open: no head's absence makes spatial answers likelier"

    def tune(self, inputs: MethodInputs) -> None:
        """Choose on split T how far the gates are closed."""
        if self.heads:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, strength: float | None) -> None:
        self.strength = strength or 0.0

    def edits(self) -> tuple[Edit, ...]:
        """One edit for each head."""
        if self.gates is None or self._means is None or not self.strength:
            return ()
        edits = []
        for head in self.heads:
            gate = 1 - self.strength * (1 - float(self.gates[head.layer, head.head]))
            edits.append(Edit(HeadSet((head,)), gate, (1 - gate) * self._means, "gate"))
        return tuple(edits)

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the gates are set."""
        with vlm.edit(*self.edits()):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """A head recipe with the gates."""
        return HeadRecipe.of(vlm, self.name, self.edits(), settings={"strength": self.strength})
