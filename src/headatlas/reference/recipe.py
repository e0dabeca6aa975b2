"""How a reference VLM is trained: every number, in one record that is logged and printed in the model card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headatlas.errors import HeadAtlasError
from headatlas.reference.build import Shape
from headatlas.reference.families import family_named

STAGES = ("vision", "lookup", "whole", "finish")
"""1: the vision tower alone, 2: the language model learns to find things by name in what the tower sees, 3: conversations,
4: conversations again, from the full rate to almost none."""

Phases = tuple[tuple[float, dict[str, float]], ...]
"""Until which share of a stage's steps, and the chance of each kind of batch (`batches.LENGTHS`) until then."""

FULL_MINUTES = 80.0
"""About what the default recipe takes on two quiet cores with AMX (bfloat16 matrix units), as measured: 3, 9, 22 and 47 a stage,
rendering not counted."""


@dataclass(frozen=True)
class Recipe:
    """Training settings; times and sizes are told in steps, so that the same recipe gives the same model anywhere."""

    family: str = "llava"
    shape: Shape = field(default_factory=Shape)
    seed: int = 0
    n_scenes: int = 14_000
    """Rendered scenes; with their mirror images there are twice as many."""
    n_held_out: int = 256
    """Further scenes of split "train", from another seed, that are only looked at while training."""
    steps: tuple[int, int, int, int] = (1500, 1500, 3500, 9000)
    horizons: tuple[int, int, int, int] = (1500, 1500, 6000, 9000)
    """Steps that each stage's rate and phases are laid out for: stage 3 is cut while it still learns fast."""
    rates: tuple[float, float, float, float] = (1e-3, 1e-3, 1e-3, 1e-3)
    """Peak learning rate of each stage: linear warm-up, then cosine to `floor` of it."""
    vision_share: float = 0.1
    """Of the rate that vision tower and projector get in stages 3 and 4; they are frozen in stage 2 and in the first third of
    stage 3: at the full rate the language model's first, blind gradients wipe out what stage 1 learned (seen: classes at chance
    after 1,700 steps)."""
    feature_norm: float = 6.4
    """Mean length of the projected patches that stage 2 begins with: stage 1 leaves them at 0.9, beside which whatever the first
    layers add is loud, and lookups are learned half as fast (seen: accuracy .66 and .88 after 400 steps)."""
    floor: float = 0.02
    warmups: tuple[int, int, int, int] = (150, 50, 100, 100)
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    vision_batch: int = 64
    tokens: int = 6144
    """Tokens of a batch of conversations, padding included."""
    lookup: tuple[tuple[float, dict[str, float]], ...] = (
        (0.6, {"listing": 1.0}),
        (1.0, {"listing": 0.5, "things": 0.3, "caption": 0.2}),
    )
    """What stage 2 learns from."""
    whole: Phases = (
        (0.2, {"quiz": 0.4, "blind": 0.15, "blind_more": 0.15, "listing": 0.1, "own": 0.1, "more": 0.1}),
        (
            1.0,
            {
                "quiz": 0.3,
                "own": 0.25,
                "more": 0.25,
                "blind_more": 0.1,
                "listing": 0.04,
                "things": 0.02,
                "caption": 0.02,
                "direct": 0.02,
            },
        ),
    )
    """What stage 3 learns from."""
    finish: Phases = (
        (
            0.35,
            {
                "quiz": 0.2,
                "blind": 0.1,
                "blind_more": 0.15,
                "listing": 0.03,
                "own": 0.25,
                "more": 0.25,
                "caption": 0.02,
            },
        ),
        (
            1.0,
            {
                "quiz": 0.2,
                "blind_more": 0.05,
                "listing": 0.02,
                "own": 0.33,
                "more": 0.34,
                "caption": 0.02,
                "direct": 0.04,
            },
        ),
    )
    """What stage 4 learns from."""
    bfloat16: bool = True
    compiled: bool = True
    evaluate_every: int = 400
    checkpoint_every: int = 250

    @classmethod
    def of(cls, family: str) -> Recipe:
        """Return the recipe of a family's reference VLM: ref-llava's, but for the family's shape and settings.

        Raises `HeadAtlasError` for an unknown family.
        """
        found = family_named(family)
        return cls(family=family, shape=found.shape, **found.settings)

    def scaled(self, minutes: float) -> Recipe:
        """Return the recipe with its steps cut, or stretched, to about `minutes` on a machine like the one it was made on."""
        if minutes <= 0:
            raise HeadAtlasError(f"expected a training time above 0 minutes, came {minutes}")
        share = minutes / FULL_MINUTES
        steps, horizons, warmups = (
            tuple(max(1, round(share * n)) for n in which) for which in (self.steps, self.horizons, self.warmups)
        )
        n_scenes = max(64, round(min(1.0, share) * self.n_scenes))
        return replace(self, steps=steps, horizons=horizons, warmups=warmups, n_scenes=n_scenes)

    def frozen(self, stage: str, step: int) -> bool:
        """Whether a step leaves vision tower and projector as they are."""
        return stage == "lookup" or (stage == "whole" and 3 * step < self.horizons[2])

    def shares(self, stage: str, step: int) -> dict[str, float]:
        """Return the chance of each kind of batch at a step of stage 2, 3 or 4."""
        phases = {"lookup": self.lookup, "whole": self.whole, "finish": self.finish}[stage]
        return next(shares for until, shares in phases if step < until * self.horizons[STAGES.index(stage)])
