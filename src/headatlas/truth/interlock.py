"""Make the copies of a head need each other: each writes a part of what the original wrote, and noise that the others take away.

Copy i writes M_i z, with M_1 + ... + M_n the identity:

    M_i = I / n + strength (Q_i - Q_(i-1)), with random rotations Q.

Together the copies write exactly what the original wrote. Without one of them, what the others write is distorted.

Some rotations distort what nobody reads. Strengths and rotations are therefore tried on scenes of their own, until the loss of
any one head does nearly all of the damage that the loss of all of them does. Of those trials the one is kept that disturbs other
functions least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.activations import capture
from headatlas.cogvsr.store import CogVSR
from headatlas.heads import Head, HeadSet, mean, zero
from headatlas.intervention import Condition, Runner, mean_z
from headatlas.intervention.operations import Means
from headatlas.truth.verify import SHARE, accuracies
from headatlas.vlm import VLM
from headatlas.vlm.surgery import copy_head, mix_output

STRENGTHS = (1.0, 1.5, 2.0, 3.0)
DRAWS = 4
ENOUGH = SHARE + 0.1
"""Share of the whole damage that each head alone must do on the scenes of the trials, so that `SHARE` holds on others too."""


@dataclass(frozen=True)
class Trial:
    """One draw of the copies' parts.

    Attributes:
        strength: of the noise.
        parts: what z is multiplied by in each head [n, D, D]; they add up to the identity.
        share: the least share of the whole set's damage that the loss of one head does, over heads and fills.
        spill: the largest loss of accuracy of another function without one of the heads.
    """

    strength: float
    parts: Float[Tensor, "n D D"]
    share: float
    spill: float


def parts_of(n: int, size: int, strength: float, generator: torch.Generator) -> Float[Tensor, "n D D"]:
    """Matrices that add up to the identity, float64: `1 / n` of it, with differences of random rotations times `strength`.

    Args:
        n: how many.
        size: of z.
        strength: 0 gives `1 / n` times the identity.
        generator: of the rotations.
    """
    drawn = torch.randn(n, size, size, generator=generator, dtype=torch.float64)
    turned = torch.linalg.qr(drawn)[0]
    return torch.eye(size, dtype=torch.float64) / n + strength * (turned - turned.roll(1, 0))


def interlock(vlm: VLM, function: str, heads: Sequence[Head], data: CogVSR, seed: int = 0) -> Trial:
    """Let `heads[1:]` have the z of `heads[0]`, and let all of them together, and no fewer, write what it wrote.

    Args:
        vlm: the model; its weights change.
        function: that `heads[0]` carries.
        heads: two or more heads of one layer (and of one key-value head).
        data: questions on whose splits P (means) and E (effects) draws are tried.
        seed: of the rotations.

    Returns:
        The trial that was kept.
    """
    source = heads[0]
    size = next(site.d_head for site in vlm.heads.tower("L") if site.layer == source.layer)
    for target in heads[1:]:
        copy_head(vlm, source, target)
    generator = torch.Generator().manual_seed(seed)
    means = mean_z(capture(vlm, data.split("P"), tokens=("all",)), "P")
    weight = next(site for site in vlm.heads.tower("L") if site.layer == source.layer).module.get_parameter("weight")
    copied = weight.detach().clone()

    def write(parts: Float[Tensor, "n D D"]) -> None:
        with torch.no_grad():
            weight.copy_(copied)
        for head, part in zip(heads, parts, strict=True):
            mix_output(vlm, head, part)

    trials: list[Trial] = []
    for strength in STRENGTHS:
        for _ in range(DRAWS):
            parts = parts_of(len(heads), size, strength, generator)
            write(parts)
            trials.append(Trial(strength, parts, *_tried(vlm, function, heads, data, means)))
        if any(trial.share >= ENOUGH for trial in trials):
            break
    enough = [trial for trial in trials if trial.share >= ENOUGH]
    kept = min(enough, key=lambda trial: trial.spill) if enough else max(trials, key=lambda trial: trial.share)
    write(kept.parts)
    return kept


def _tried(vlm: VLM, function: str, heads: Sequence[Head], data: CogVSR, means: Means) -> tuple[float, float]:
    """`share` and `spill` of a `Trial`."""
    sets = [HeadSet(heads), *(HeadSet((head,)) for head in heads)]
    edits = [edit for one in sets for edit in (zero(one), mean(one, means))]
    conditions = [Condition("intact"), *(Condition(f"removed {i}", (edit,)) for i, edit in enumerate(edits))]
    tables = [
        one.set_index("function")["accuracy"]
        for one in map(accuracies, Runner(vlm, data, None).run_many(conditions, "E"))
    ]
    losses = pd.DataFrame([tables[0] - one for one in tables[1:]]).reset_index(drop=True)
    whole, single = losses[function].iloc[:2].to_numpy(), losses[function].iloc[2:].to_numpy().reshape(-1, 2)
    share = float((single / whole.clip(min=1e-6)).min())
    return share, float(losses.iloc[2:].drop(columns=function).to_numpy().max())
