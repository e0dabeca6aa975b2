"""The method `lora`: low-rank updates of V and O in the chosen heads only, fitted on split P with peft.

Of O only the columns of the chosen heads change, of V only the rows (under grouped queries: of the key-value heads
that the chosen heads read, which other heads may share). The rest of both updates is held at 0 by masking the
gradients. In a layer with n chosen heads the update is scaled by 1/sqrt(n).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet
from headatlas.latent.fitting import fit_batches, fit_parameters
from headatlas.latent.methods.base import Cost, MethodInputs, Strength, method
from headatlas.latent.tuning import tune_strength
from headatlas.vlm import VLM
from headatlas.vlm.low_rank import ADAPTER, adapted, linear_at, lora_config, require_peft, updated
from headatlas.vlm.recipe import HeadRecipe


@method("lora")
@dataclass
class LoRA:
    """Train V and O of the chosen heads.

    Args:
        rank: of each update.
        steps: updates of the fit.
        lr: learning rate.
        tried: multiples of the fitted update tried on split T.

    Attributes:
        heads: the chosen heads.
        updates: A and B by path of the layer.
        strength: as tuned; 0 for none.
    """

    rank: int = 4
    steps: int = 48
    lr: float = 1e-2
    tried: tuple[float, ...] = (0.5, 1.0)
    name: str = "lora"
    controls: tuple[str, ...] = ("random_heads", "all_heads", "shuffled")
    needs: tuple[str, ...] = ("heads", "gradients")
    heads: HeadSet = field(default_factory=lambda: HeadSet(()))
    updates: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    strength: float = 0.0
    reason: str = ""
    strengths: list[Strength] = field(default_factory=list)

    @property
    def cost(self) -> Cost:
        """The number of entries of A and B that are trained."""
        return Cost(parameters=sum(int((a != 0).sum() + (b != 0).sum()) for a, b in self.updates.values()))

    def fit(self, inputs: MethodInputs) -> None:
        """Fit the updates on split P."""
        require_peft()
        vlm, self.heads = inputs.vlm, inputs.spatial_heads
        self.updates, self.strength, self.strengths = {}, 0.0, []
        if not self.heads:
            self.reason = "no heads are chosen"
            return
        masks, scales = masks_of(vlm, self.heads)
        batches = fit_batches(inputs)
        torch.manual_seed(inputs.seed)
        with adapted(vlm, lora_config(dict.fromkeys(masks, self.rank), scales)) as layers:
            parameters = []
            with torch.no_grad():
                for path, (columns, rows) in masks.items():
                    a, b = layers[path].lora_A[ADAPTER].weight, layers[path].lora_B[ADAPTER].weight
                    a.mul_(columns)
                    a.register_hook(lambda gradient, mask=columns: gradient * mask)
                    b.register_hook(lambda gradient, mask=rows: gradient * mask[:, None])
                    parameters += [a, b]
            fit_parameters(
                inputs, parameters, nullcontext, name=self.name, lr=self.lr, steps=self.steps, batches=batches
            )
            for path in masks:
                a, b = layers[path].lora_A[ADAPTER].weight, layers[path].lora_B[ADAPTER].weight
                self.updates[path] = (a.detach().clone(), scales[path] * b.detach().clone())
        self.strength, self.reason = 1.0, ""

    def tune(self, inputs: MethodInputs) -> None:
        """Choose on split T which multiple of the update is used."""
        if self.updates:
            tune_strength(self, inputs, self.tried, self._use)

    def _use(self, strength: float | None) -> None:
        self.strength = strength or 0.0

    def _scaled(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {path: (a, self.strength * b) for path, (a, b) in self.updates.items()} if self.strength else {}

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[None]:
        """Within the block the layers have their updates."""
        with updated(vlm, self._scaled()):
            yield

    def recipe(self, vlm: VLM) -> HeadRecipe:
        """A head recipe with the updates."""
        settings = {"strength": self.strength, "rank": self.rank, "heads": list(map(str, self.heads))}
        return HeadRecipe.of(vlm, self.name, low_rank=self._scaled(), settings=settings)


def masks_of(vlm: VLM, heads: HeadSet) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, float]]:
    """Masks (1 or 0) over the columns of A and the rows of B that may change, and the scale, for V and O of each layer.

    Raises:
        HeadAtlasError: a layer without separate linear value and output projections.
    """
    masks: dict[str, tuple[Tensor, Tensor]] = {}
    scales: dict[str, float] = {}
    for site in vlm.heads.tower("L"):
        chosen = [head.head for head in heads if head.tower == "L" and head.layer == site.layer]
        if not chosen:
            continue
        output = linear_at(vlm, site.name)
        path = f"{site.owner}.v_proj"
        try:
            value = linear_at(vlm, path)
        except HeadAtlasError as error:
            raise HeadAtlasError(f"lora needs a value projection of its own in every layer; {error}") from error
        one = output.weight.new_ones
        columns = output.weight.new_zeros(site.n_heads, site.d_head)
        columns[chosen] = 1.0
        groups = value.out_features // site.d_head
        rows = value.weight.new_zeros(groups, site.d_head)
        rows[[head * groups // site.n_heads for head in chosen]] = 1.0
        masks[site.name] = columns.flatten(), one(output.out_features)
        masks[path] = one(value.in_features), rows.flatten()
        scales[site.name] = scales[path] = len(chosen) ** -0.5
    return masks, scales
