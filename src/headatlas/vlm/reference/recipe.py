"""How a reference VLM is trained: every number, in one record that is logged and printed in the model card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headatlas.errors import HeadAtlasError
from headatlas.vlm.reference.build import Shape

STAGES = ("vision", "language", "whole", "finish")
"""1: the vision tower alone, 2: the language model alone, 3: all of it, 4: all of it again, from a full rate to almost none."""

FULL_MINUTES = 40.0
"""About what the default recipe takes on two quiet cores with AMX (bfloat16 matrix units): steps times the seconds seen for one,
not one run measured whole."""


@dataclass(frozen=True)
class Recipe:
    """Training settings; times and sizes are told in steps, so that the same recipe gives the same model anywhere."""

    shape: Shape = field(default_factory=Shape)
    seed: int = 0
    n_scenes: int = 14_000
    """Rendered scenes; with their mirror images there are twice as many."""
    n_held_out: int = 256
    """Further scenes of split "train", from another seed, that are only looked at while training."""
    steps: tuple[int, int, int, int] = (1500, 2200, 3250, 1750)
    horizons: tuple[int, int, int, int] = (1500, 2200, 7500, 3100)
    """Steps that each stage's rate and phases are laid out for: stage 3 is cut before its rate has fallen."""
    rates: tuple[float, float, float, float] = (1e-3, 1e-3, 1e-3, 1e-3)
    """Peak learning rate of each stage: linear warm-up, then cosine to `floor` of it."""
    vision_share: float = 0.1
    """Of the rate that vision tower and projector get in stages 3 and 4, after a first third in which they are frozen: at the
    full rate the language model's first, blind gradients wipe out what stage 1 learned (seen: classes at chance after 1,700
    steps)."""
    floor: float = 0.02
    warmups: tuple[int, int, int, int] = (150, 150, 150, 80)
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    vision_batch: int = 64
    tokens: int = 6144
    """Tokens of a batch of conversations, padding included."""
    descriptions: tuple[tuple[float, float, float], ...] = ((2 / 15, 0.7, 0.0), (1 / 3, 0.25, 0.35), (1.0, 0.05, 0.1))
    """Stage 3 in phases: until which share of its steps; share of batches that are captions of the whole picture; and of
    batches that describe single things by name. Captions come first: they teach to read patches out, names then to find them."""
    finish: tuple[tuple[float, float, float], ...] = ((0.4, 0.05, 0.35), (1.0, 0.03, 0.08))
    """The same of stage 4."""
    directs: float = 0.03
    """Share of batches of answers without steps."""
    blinds: float = 0.05
    """Share of batches without image, loss on the steps that need none."""
    bfloat16: bool = True
    compiled: bool = True
    evaluate_every: int = 400
    checkpoint_every: int = 250

    def scaled(self, minutes: float) -> Recipe:
        """Return the recipe with its steps cut, or stretched, to about `minutes` on a machine like the one it was made on."""
        if minutes <= 0:
            raise HeadAtlasError(f"expected a training time above 0 minutes, came {minutes}")
        share = minutes / FULL_MINUTES
        steps, horizons, warmups = (
            tuple(max(1, round(share * n)) for n in which) for which in (self.steps, self.horizons, self.warmups)
        )
        return replace(
            self, steps=steps, horizons=horizons, warmups=warmups, n_scenes=max(64, round(min(1.0, share) * self.n_scenes)),
        )  # fmt: skip

    def early(self, stage: str, step: int) -> bool:
        """Whether a step lies in the first third of stage 3 or 4, in which vision is frozen."""
        return stage in STAGES[2:] and 3 * step < self.horizons[STAGES.index(stage)]

    def shares(self, stage: str, step: int) -> dict[str, float]:
        """Return the chance of each kind of batch at a step of stage 2, 3 or 4."""
        if stage == "language":
            return {"blind": 0.5, "blind_more": 0.5}
        told = self.descriptions if stage == "whole" else self.finish
        captions, things = next(phase[1:] for phase in told if step < phase[0] * self.horizons[STAGES.index(stage)])
        left = 1.0 - captions - things
        talk = left * (1.0 - self.directs - self.blinds)
        return {
            "things": things,
            "caption": captions,
            "own": 0.5 * talk,
            "more": 0.5 * talk,
            "direct": left * self.directs,
            "blind_more": left * self.blinds,
        }
