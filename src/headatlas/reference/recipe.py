"""`Recipe`: all training settings of a reference VLM, which are logged and printed in the model card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headatlas.errors import HeadAtlasError
from headatlas.reference.build import Shape
from headatlas.reference.families import family_named

STAGES = ("vision", "lookup", "whole", "finish")
"""1: the vision tower alone. 2: the language model learns to look things up by name in the tower's output. 3: conversations.
4: conversations again, with a learning rate that falls to almost zero."""

Phases = tuple[tuple[float, dict[str, float]], ...]
"""Phases of a stage: the share of its steps at which each ends, and its probability of each kind of batch (`batches.LENGTHS`)."""


@dataclass(frozen=True, repr=False)
class Recipe:
    """Training settings. Durations are in steps, so that the same recipe gives the same model on every machine."""

    family: str = "llava"
    shape: Shape = field(default_factory=Shape)
    seed: int = 0
    n_scenes: int = 14_000
    """Rendered scenes; with their mirror images there are twice as many."""
    n_held_out: int = 256
    """Further scenes of split "train", from another seed, used for evaluation during training."""
    steps: tuple[int, int, int, int] = (1500, 1500, 3500, 9000)
    horizons: tuple[int, int, int, int] = (1500, 1500, 6000, 9000)
    """Steps over which the learning rate and the phases of each stage extend; stage 3 ends earlier, while learning is fast."""
    rates: tuple[float, float, float, float] = (1e-3, 1e-3, 1e-3, 1e-3)
    """Peak learning rate of each stage: linear warm-up, then cosine to `floor` of it."""
    vision_share: float = 0.1
    """Share of the learning rate for vision tower and projector in stages 3 and 4. They are frozen in stage 2 and at the
    start of stage 3 (`freeze`): at the full rate the language model's first gradients destroy what stage 1 learned (measured:
    classes at chance level after 1,700 steps)."""
    freeze: float = 1 / 3
    """Share of stage 3 in which vision tower and projector are frozen, as they are in stage 2; 0: never."""
    feature_norm: float | None = 6.4
    """Mean length of the projected patches at the start of stage 2. Stage 1 leaves them at 0.9, small compared with what the
    first layers add, and lookups are learned half as fast (measured: accuracy .66 instead of .88 after 400 steps). None: they
    stay as stage 1 leaves them."""
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
    """Phases of stage 2."""
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
    """Phases of stage 3."""
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
    """Phases of stage 4."""
    marks: float = 0.0
    """Share of the batches of stage 3 (after its first phase) and stage 4 whose pictures carry marks around the things asked
    about, half of them as a second picture (`batches.LENGTHS`: marked, added); other batches become rarer in proportion."""
    bfloat16: bool = True
    compiled: bool = True
    device: str = "cpu"
    """Where the model is trained: cpu or cuda."""
    evaluate_every: int = 400
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if not 0 <= self.marks < 1:
            raise HeadAtlasError(f"marks must be at least 0 and below 1, got {self.marks}")
        if self.marks and self.family != "llava":
            raise HeadAtlasError(
                f"marks must be 0 for family {self.family!r} (only llava takes two pictures), got {self.marks}"
            )

    def __repr__(self) -> str:
        return f"<Recipe of {self.family}: steps {self.steps}, {self.n_scenes} scenes, seed {self.seed}>"

    @classmethod
    def of(cls, family: str) -> Recipe:
        """Return the recipe of a family's reference VLM: ref-llava's with the family's own shape and settings.

        Raises `HeadAtlasError` for an unknown family.
        """
        entry = family_named(family)
        return cls(family=family, shape=entry.shape, **entry.settings)

    def scaled(self, minutes: float) -> Recipe:
        """Return the recipe with fewer (or more) steps, for about `minutes` on two cores as in `Family.minutes`."""
        if minutes <= 0:
            raise HeadAtlasError(f"minutes must be > 0, got {minutes}")
        share = minutes / family_named(self.family).minutes
        steps, horizons, warmups = (
            tuple(max(1, round(share * n)) for n in which) for which in (self.steps, self.horizons, self.warmups)
        )
        n_scenes = max(64, round(min(1.0, share) * self.n_scenes))
        return replace(self, steps=steps, horizons=horizons, warmups=warmups, n_scenes=n_scenes)

    def frozen(self, stage: str, step: int) -> bool:
        """Whether vision tower and projector are not trained in this step."""
        return self.freeze > 0 and (stage == "lookup" or (stage == "whole" and step < self.freeze * self.horizons[2]))

    def shares(self, stage: str, step: int) -> dict[str, float]:
        """Return the probability of each kind of batch at a step of stage 2, 3 or 4."""
        phases = {"lookup": self.lookup, "whole": self.whole, "finish": self.finish}[stage]
        which = next(i for i, (until, _) in enumerate(phases) if step < until * self.horizons[STAGES.index(stage)])
        shares = phases[which][1]
        if not self.marks or stage == "lookup" or (stage == "whole" and which == 0):
            return shares
        total = sum(shares.values())
        rest = {kind: share / total * (1 - self.marks) for kind, share in shares.items()}
        return {**rest, "marked": self.marks / 2, "added": self.marks / 2}
